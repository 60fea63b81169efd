#!/usr/bin/env bash
# A newcomer's clock: from `git clone` to 1 000 showers of a trained model and a page to look at them (make start),
# with installation; then the same two commands without a network, where the system lets a user have none.
#
#     bash benchmarks/newcomer.sh [REPOSITORY]
set -euo pipefail
source=$(realpath "${1:-$(dirname "$0")/..}")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
begun=$SECONDS
git clone --quiet "$source" "$folder/caloforge"
cd "$folder/caloforge"
make start
echo "from clone to showers and page: $((SECONDS - begun)) s"
ls -l build/showers.h5 build/showers.html
if unshare --map-root-user --net true 2>/dev/null; then
  begun=$SECONDS
  unshare --map-root-user --net make start
  echo "again, without a network: $((SECONDS - begun)) s"
else
  echo "not tried without a network: unshare is not allowed here"
fi
