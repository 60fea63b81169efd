#!/usr/bin/env bash
# The built wheel under each Python from 3.11 to 3.14 that is found, on PATH or with pyenv, each in a clean
# environment: version, help, 1 000 showers of a trained model, a page of them, then some of the tests.
#
#     bash packaging/pythons.sh WHEEL [VERSION...]
#
# TORCH chooses the PyTorch to install: TORCH=torch==2.13.0 bash packaging/pythons.sh dist/*.whl 3.11
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
wheel=$(realpath "$1")
shift
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=(3.11 3.12 3.13 3.14)
quick=(tests/test_geometry.py tests/test_showers.py tests/test_python_api.py tests/cli/test_cli_check.py
  tests/cli/test_cli_completion.py tests/models/test_contract.py tests/zoo/test_shipped.py)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

find_python() { # of a version; prints nothing if there is none
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if "$candidate" -c "import sys, venv, ensurepip; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
}

try() { # a version's interpreter
  "$2" -m venv "$folder/$1"
  local bin=$folder/$1/bin
  mkdir "$folder/$1/empty"
  cd "$folder/$1/empty" # away from the source tree
  "$bin/python" -m pip install --quiet --upgrade pip
  "$bin/python" -m pip install --quiet "${TORCH:-torch}"
  "$bin/python" -m pip install --quiet "$wheel"
  "$bin/caloforge" --version
  "$bin/caloforge" demo --help >/dev/null
  "$bin/caloforge" generate flagship-atlas-like --energies uniform:1GeV:16GeV -n 1000 -o showers.h5
  "$bin/caloforge" view showers.h5 -o showers.html
  "$bin/python" -m pip install --quiet "$wheel[test,notebook]"
  cd "$root"
  OMP_NUM_THREADS=1 "$bin/python" -m pytest -q -p no:cacheprovider "${quick[@]}"
  rm -rf "${folder:?}/$1"
}

failed=0
for version in "${versions[@]}"; do
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    echo "Python $version: not found, not tried"
    continue
  fi
  try "$version" "$python" >"$folder/log" 2>&1 & # a job of its own, so that it ends at the first command that fails
  if wait $!; then
    echo "Python $version: passed ($("$python" --version), $(tail -n 1 "$folder/log"))"
  else
    tail -n 40 "$folder/log"
    echo "Python $version: FAILED"
    failed=1
  fi
done
exit $failed
