#!/bin/sh
# Installs Debian packages so that none of their services is started or enabled, and no Postgres cluster is
# made. `cargo xtask` runs this as root or through sudo; without either it prints the command.
#   sh infra/xtask/packages.sh PACKAGE...
set -eu

policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.conf
units=/etc/systemd/system
services="smbd nmbd samba-ad-dc winbind postgresql
    NetworkManager NetworkManager-wait-online dbus-org.freedesktop.nm-dispatcher"
ours="# put here by Recehub while it installs packages"

enabled() {
    [ -d "$units" ] || return 0
    for service in $services; do
        find "$units" -type l -name "$service.service"
    done
}

# What an administrator wrote stays; what we wrote goes, also if an earlier run was cut short.
clean() {
    for file in "$policy" "$cluster"; do
        if grep -qs "^$ours" "$file"; then rm -f "$file"; fi
    done
}

clean
before=$(enabled)
trap clean EXIT
trap 'exit 130' INT TERM HUP

# invoke-rc.d(8): 101 forbids every start. createcluster.conf: see pg_createcluster(1).
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$ours" > "$policy"
    chmod 755 "$policy"
fi
if [ ! -e "$cluster" ]; then
    mkdir -p "$(dirname "$cluster")"
    printf '%s\ncreate_main_cluster = false\n' "$ours" > "$cluster"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# dpkg would ask about our configuration file; it keeps it, and it goes at the end.
apt-get -qq -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold install -y --no-install-recommends "$@"

# To systemd a service is enabled by its link, to System V by its place in the run levels.
for link in $(enabled); do
    case " $(echo $before) " in
        *" $link "*) ;;
        *)
            rm -f "$link"
            service=$(basename "$link" .service)
            if [ -e "/etc/init.d/$service" ]; then update-rc.d "$service" disable; fi
            ;;
    esac
done
