#!/usr/bin/env bash
# Makes what Compose needs before its first container, then runs the command given.
#
# The folder of secrets is closed to other accounts. The database password inside it is readable by all,
# because the container that reads it runs under an account that this machine does not know.
set -euo pipefail
cd "$(dirname "$0")/../.."

export PASSFERRY_SECRETS=${PASSFERRY_SECRETS:-$PWD/.passferry/secrets}
umask 077
mkdir -p .passferry/wwdr "$PASSFERRY_SECRETS"/{admin,ledger,pass-issuer,wallet-webservice,notifier,event-bridge}

if [ ! -s "$PASSFERRY_SECRETS/postgres_password" ]; then
    password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    printf 'postgresql://postgres:%s@postgres:5432/postgres' "$password" >"$PASSFERRY_SECRETS/admin/postgres_admin_url"
    printf '%s' "$password" >"$PASSFERRY_SECRETS/postgres_password.new"
    chmod 0444 "$PASSFERRY_SECRETS/postgres_password.new"
    mv "$PASSFERRY_SECRETS/postgres_password.new" "$PASSFERRY_SECRETS/postgres_password"
fi

# The services read and bootstrap writes these files: as the caller, but never as root.
if [ "$(id -u)" = 0 ]; then
    export PASSFERRY_UID=10001 PASSFERRY_GID=10001
    chown -R 10001:10001 "$PASSFERRY_SECRETS"
else
    PASSFERRY_UID=$(id -u)
    PASSFERRY_GID=$(id -g)
    export PASSFERRY_UID PASSFERRY_GID
fi
exec "$@"
