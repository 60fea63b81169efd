#!/usr/bin/env bash
# Each extra of the built wheel alone, in a clean environment: it installs, nothing contradicts, the command line runs.
#
#     TORCH=torch==2.13.0 bash packaging/extras.sh WHEEL [EXTRA...]
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
wheel=$(realpath "$1")
shift
python=${PYTHON:-python3}
extras=("$@")
if [ ${#extras[@]} -eq 0 ]; then
  mapfile -t extras < <("$python" -c "import tomllib
print(*tomllib.load(open('$root/pyproject.toml', 'rb'))['project']['optional-dependencies'], sep='\n')")
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for extra in "${extras[@]}"; do
  "$python" -m venv "$extra"
  "$extra/bin/python" -m pip install --quiet "${TORCH:-torch}"
  "$extra/bin/python" -m pip install --quiet "$wheel[$extra]"
  "$extra/bin/python" -m pip check >/dev/null
  "$extra/bin/caloforge" --version >/dev/null
  "$extra/bin/python" -c "import caloforge; caloforge.load('flagship-w-si')"
  echo "caloforge[$extra]: installed alone, passed"
  rm -rf "${folder:?}/$extra"
done
