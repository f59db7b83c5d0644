#!/usr/bin/env bash
# Installs the Debian packages that a kind of run needs, only the missing ones.
# Usage: tools/deps.sh --for test|soak|bench
# Without root it names them and exits 1.
set -euo pipefail

test_packages=(gcc libc6-dev haproxy nginx libnginx-mod-stream keepalived curl
	bind9 bind9-dnsutils iproute2 knot knot-dnsutils ldnsutils nsd unbound
	openssh-client openssh-server rsync chromium fonts-dejavu-core
	e2fsprogs mariadb-client mariadb-server postgresql postgresql-client
	dbus polkitd systemd)
command -v npm >/dev/null || test_packages+=(nodejs npm) # a Node.js of another origin brings its own npm
axe=axe-core@4.14.1
bench_packages=("${test_packages[@]}" wrk gdnsd sqlite3)
soak_packages=("${test_packages[@]}" zonemaster-cli)
tries=3

usage() {
	echo "usage: tools/deps.sh --for test|soak|bench" >&2
	exit 2
}

# The tests of the pages load axe-core from tools/node_modules.
install_axe() {
	local at
	at=$(dirname "${BASH_SOURCE[0]}")
	grep -q "\"version\": \"${axe#*@}\"" "$at/node_modules/axe-core/package.json" 2>/dev/null && return
	if ! command -v npm >/dev/null; then
		echo "deps: npm is not here; the tests of the pages need: npm install --prefix tools $axe" >&2
		return
	fi
	npm install --prefix "$at" --no-save --no-package-lock --no-audit --no-fund --loglevel=error "$axe"
}

[[ $# -eq 2 && $1 == --for ]] || usage
case $2 in
test) wanted=("${test_packages[@]}") ;;
soak) wanted=("${soak_packages[@]}") ;;
bench) wanted=("${bench_packages[@]}") ;;
*) usage ;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian system; these have to be here by other means: ${wanted[*]}" >&2
	install_axe
	exit 0
fi

missing=()
for package in "${wanted[@]}"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
	[[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || { install_axe; exit 0; }

if [[ $EUID -ne 0 ]]; then
	{
		echo "deps: missing Debian packages: ${missing[*]}"
		echo "deps: as root: apt-get install --no-install-recommends ${missing[*]}"
	} >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
options=(-o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
for ((try = 1; ; try++)); do
	echo "deps: installing ${missing[*]} (try $try of $tries)"
	if apt-get "${options[@]}" -q update &&
		apt-get "${options[@]}" -q install -y --no-install-recommends "${missing[@]}"; then
		install_axe
		exit 0
	fi
	if ((try == tries)); then
		echo "deps: could not install ${missing[*]}" >&2
		exit 1
	fi
	sleep 5
done
