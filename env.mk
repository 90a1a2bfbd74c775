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
# A user id without a name, in a container, needs one for DVC.
export LOGNAME ?= $(firstword $(USER) $(shell id -un 2>/dev/null; id -u))
# Settings of another Python, and where and how pip is to install, are not for this one; where pip finds things is.
KEPT := PYTHON PYTHONDONTWRITEBYTECODE PYTHONHASHSEED PYTHONIOENCODING PYTHONUNBUFFERED PYTHONUTF8 $(addprefix PIP_, \
    CACHE_DIR CERT CLIENT_CERT CONFIG_FILE DEFAULT_TIMEOUT EXTRA_INDEX_URL FIND_LINKS INDEX_URL KEYRING_PROVIDER \
    NO_CACHE_DIR NO_INDEX PROXY RETRIES TIMEOUT TRUSTED_HOST)
unexport VIRTUAL_ENV $(filter-out $(KEPT),$(filter PYTHON% PIP_%,$(.VARIABLES)))
