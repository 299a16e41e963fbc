#!/bin/sh
# HASetup.sh PRIMARY SECONDARY: makes the data replication pack, as the manual of the product says.
#
# Put it into the folder bin of the primary's installation, or run it inside of the installation. Stop
# Password Manager Pro and its database first. It runs `pmp-ha pack`, and further options go there:
#     sh HASetup.sh pmp-a.example.com pmp-b.example.com --dry-run
# The pack is replication/HAPack.zip. PMP_HA names another pmp-ha than the one in PATH.
set -eu

if [ "$#" -lt 2 ]; then
  echo "usage: HASetup.sh <FQDN of PMP Primary Server> <FQDN of PMP Secondary Server> [option of pmp-ha pack...]" >&2
  exit 2
fi
pmp_ha=${PMP_HA:-pmp-ha}
if ! command -v "$pmp_ha" >/dev/null 2>&1; then
  echo "error: there is no $pmp_ha in PATH" >&2
  echo "  hint: Install the package pmp-ha, or name the program: PMP_HA=/opt/pmp-ha/pmp-ha sh HASetup.sh ..." >&2
  exit 1
fi
here=$(cd "$(dirname "$0")" && pwd -P)
# In a home's folder bin this is the home; anywhere else pmp-ha finds one.
if [ "$(basename "$here")" = bin ] && [ -d "$here/../conf" ] && [ -d "$here/../mysql" ]; then
  exec "$pmp_ha" --home "$(dirname "$here")" pack "$@"
fi
exec "$pmp_ha" pack "$@"
