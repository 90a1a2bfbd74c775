# Write both locks from the environment of the Python given: `sh locks/write.sh .venv-lock/bin/python` (see `make lock`).
# torch's own CUDA packages stand in neither: torch pins them itself where its build needs them.
set -eu
cd "$(dirname "$0")"
frozen() { "$1" -m pip freeze --all --exclude-editable --exclude pip 2>/dev/null | sed 's/+cpu$//' | sort -f; }
frozen "$1" > cpu.txt
# faiss-gpu instead of faiss-cpu, with the CUDA 12 libraries that it loads
{ grep -v '^faiss' cpu.txt; printf '%s\n' faiss-gpu==1.15.1 nvidia-cublas-cu12==12.9.3.13 nvidia-cuda-nvrtc-cu12==12.9.86 \
    nvidia-cuda-runtime-cu12==12.9.79 nvidia-curand-cu12==10.3.10.19; } | sort -f > gpu.txt
