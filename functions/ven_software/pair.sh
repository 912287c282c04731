#!/bin/sh
# Pairs this host with a PCE: downloads the VEN, installs it, activates it and starts it.
# Served by the PCE itself. Running it again repairs an installation and pairs nothing twice.
set -eu

RELEASE='@RELEASE@'
PACKAGE_SHA256='@PACKAGE_SHA256@'
PROFILE_ID='@PROFILE_ID@'
API_VERSION='@API_VERSION@'

SERVER=
CODE=
CA_FILE=
MODE=
PREFIX=/opt/ven
DATA_DIR=${VEN_DATA_DIR:-/opt/ven_data}
SERVICE=yes
SIMULATE=
LABELS=

say() { printf 'pair: %s\n' "$*"; }
fail() {
    printf 'pair: %s\n' "$*" >&2
    exit 1
}
usage() {
    cat <<'TEXT'
usage: sh pair.sh --management-server HOST:PORT --activation-code CODE [options]
  --ca-file FILE       the PCE's private certificate authority
  --mode MODE          idle, visibility_only, selective or full
  --role R --app A --env E --loc L
                       labels of this host
  --data-dir DIR       what the VEN keeps (default /opt/ven_data)
  --prefix DIR         where the VEN is installed (default /opt/ven)
  --no-service         start in the background, without systemd
  --simulate           try it without root: a firewall in memory
TEXT
}

while [ $# -gt 0 ]; do
    case $1 in
        --no-service) SERVICE=no; shift; continue ;;
        --simulate) SIMULATE=--simulate; shift; continue ;;
        -h | --help) usage; exit 0 ;;
        --*) ;;
        *) usage >&2; fail "what is '$1'?" ;;
    esac
    [ $# -ge 2 ] || { usage >&2; fail "$1 needs a value"; }
    case $1 in
        --management-server) SERVER=$2 ;;
        --activation-code) CODE=$2 ;;
        --ca-file) CA_FILE=$2 ;;
        --mode | --enforcement_mode) MODE=$2 ;;
        --role | --app | --env | --loc)
            # One label a line; values may hold spaces.
            LABELS="$LABELS${1#--}=$2
" ;;
        --data-dir) DATA_DIR=$2 ;;
        --prefix) PREFIX=$2 ;;
        --proxy-server) fail "--proxy-server: this VEN connects directly" ;;
        *) usage >&2; fail "unknown option $1" ;;
    esac
    shift 2
done

[ -n "$SERVER" ] && [ -n "$CODE" ] || {
    usage >&2
    fail "--management-server and --activation-code are needed"
}
absolute() {
    case $1 in
        /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$(pwd)" "$1" ;;
    esac
}
PREFIX=$(absolute "$PREFIX")
DATA_DIR=$(absolute "$DATA_DIR")
case $PREFIX$DATA_DIR in
    *[!A-Za-z0-9/._-]*) fail "--prefix and --data-dir: only letters, digits and / . _ - please" ;;
esac
if [ -n "$CA_FILE" ]; then
    [ -r "$CA_FILE" ] || fail "--ca-file $CA_FILE cannot be read"
    CA_FILE=$(absolute "$CA_FILE")
fi

# --- what the host must have

PYTHON=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        PYTHON=$(command -v "$candidate")
        break
    fi
done
[ -n "$PYTHON" ] || fail "Python 3.11 or newer is needed: install python3"
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's venv module is needed: install python3-venv"
if [ -z "$SIMULATE" ]; then
    [ "$(id -u)" -eq 0 ] || fail "the firewall needs root: run me with sudo"
    PATH=$PATH:/usr/sbin:/sbin
    command -v nft >/dev/null || fail "nft is needed: install the package nftables"
fi

# --- download, over TLS with a verified chain and host name, and by hash

umask 022
mkdir -p "$PREFIX"
WORK=$(mktemp -d "$PREFIX/.pair.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 1' HUP INT TERM

say "downloading the VEN from $SERVER"
"$PYTHON" - "$SERVER" "$API_VERSION" "$CA_FILE" "$RELEASE" "$PACKAGE_SHA256" "$WORK/ven.tar.gz" <<'PYTHON' ||
import hashlib
import http.client
import ssl
import sys

server, version, ca_file, release, sha256, target = sys.argv[1:]
host, _, port = server.rpartition(":") if ":" in server else (server, "", "443")
try:
    connection = http.client.HTTPSConnection(
        host.strip("[]"),
        int(port),
        timeout=60,
        context=ssl.create_default_context(cafile=ca_file or None),
    )
    connection.request("GET", f"/api/{version}/software/ven/image?package=ven.tar.gz&release={release}")
    reply = connection.getresponse()
    content = reply.read()
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"pair: {server}: {error}")
if reply.status != 200:
    sys.exit(f"pair: {server} answered {reply.status}: {content[:200]!r}")
found = hashlib.sha256(content).hexdigest()
if found != sha256:
    sys.exit(f"pair: the package is not the one of this script ({found}): download the script again")
with open(target, "wb") as file:
    file.write(content)
PYTHON
    exit 1

# --- install; what is installed already stays

tar -xzf "$WORK/ven.tar.gz" -C "$WORK"
"$PYTHON" -I "$WORK/ven/src/ven/installation.py" --prefix "$PREFIX" --data-dir "$DATA_DIR" \
    --package "$WORK/ven.tar.gz" --sha256 "$PACKAGE_SHA256" --release "$RELEASE" || exit 1
VEN=$PREFIX/bin/ven

# --- activate

if [ -e "$DATA_DIR/identity.json" ]; then
    say "this host is paired already; '$VEN --data-dir $DATA_DIR unpair saved' undoes it"
else
    say "activating with pairing profile $PROFILE_ID"
    set -- --management-server "$SERVER" --activation-code "$CODE"
    [ -z "$CA_FILE" ] || set -- "$@" --ca-file "$CA_FILE"
    [ -z "$MODE" ] || set -- "$@" --mode "$MODE"
    while IFS= read -r label; do
        [ -z "$label" ] || set -- "$@" --label "$label"
    done <<LABELS
$LABELS
LABELS
    "$VEN" --data-dir "$DATA_DIR" $SIMULATE activate "$@"
fi

# --- start, now and at every boot

if [ "$SERVICE" = yes ] && [ -z "$SIMULATE" ] && [ -d /run/systemd/system ]; then
    cat > /etc/systemd/system/ven-boot.service <<UNIT
[Unit]
Description=VEN: last-known-good policy before the network
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=local-fs.target systemd-modules-load.service systemd-sysctl.service
Conflicts=shutdown.target
ConditionPathExists=$DATA_DIR/policy.json

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$VEN --data-dir $DATA_DIR load-policy

[Install]
WantedBy=sysinit.target
UNIT
    cat > /etc/systemd/system/ven.service <<UNIT
[Unit]
Description=Virtual Enforcement Node
After=network-pre.target ven-boot.service
ConditionPathExists=$DATA_DIR/identity.json
# Never give up: the policy in force is guarded by nobody else.
StartLimitIntervalSec=0

[Service]
ExecStart=$VEN --data-dir $DATA_DIR start --foreground
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
MemoryMax=256M
# The firewall and its sysctls; which program owns a socket, whoever runs it.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_PTRACE CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=$PREFIX $DATA_DIR
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --quiet ven-boot.service ven.service
    systemctl restart ven.service
    say "started as the service ven"
else
    "$VEN" --data-dir "$DATA_DIR" $SIMULATE start
    [ "$SERVICE" = no ] || [ -n "$SIMULATE" ] ||
        say "systemd does not run here: start '$VEN --data-dir $DATA_DIR start' at boot yourself"
fi
say "done; '$VEN --data-dir $DATA_DIR status' shows how it is"
