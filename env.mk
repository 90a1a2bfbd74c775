# What every command of this project runs under: nothing phones anywhere, the UI works offline, stores lie in the checkout.
UI_PORT ?= 4200
STUDY_FILE := $(if $(filter .,$(STUDY)),dvc.yaml,$(STUDY)/dvc.yaml)

export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export PREFECT_HOME := $(CURDIR)/.robustdd/prefect
export PREFECT_RESULTS_LOCAL_STORAGE_PATH := $(PREFECT_HOME)/results
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT := false
export PREFECT_SERVER_UI_V2_ENABLED := false
export PREFECT_SERVER_EPHEMERAL_ENABLED := false
export PREFECT_UI_API_URL := /api
export PREFECT_SERVER_API_PORT := $(UI_PORT)
export PREFECT_LOGGING_EXTRA_LOGGERS := robustdd
