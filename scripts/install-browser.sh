#!/usr/bin/env bash
# Installs what the Web UI's tests drive: Chromium and its WebDriver, from Debian's packages.
set -euo pipefail
command -v chromium >/dev/null && command -v chromedriver >/dev/null && exit 0
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver
