#!/bin/bash
# One virtual node, run as root by `unshare --uts --mount --pid --fork --mount-proc --kill-child`: it has a host name,
# a /tmp and a process tree of its own, so that killing its first process takes everything on it away at once.
# Arguments: the rig's folder, the node's name.
set -euo pipefail
rig=$1 node=$2
hostname "$node"
mount --make-rprivate /

hosts=$rig/run/hosts.$node
echo '127.0.0.1 localhost' > "$hosts"
for peer in "$rig"/nodes/*/; do echo "127.0.0.1 $(basename "$peer")"; done >> "$hosts"
mount --bind "$hosts" /etc/hosts

# A new machine has an empty /tmp; only the rig, when it lies there, stays visible.
mine=$rig/nodes/$node/tmp
rm -rf --one-file-system "$mine"
mkdir -p "$mine"
chmod 1777 "$mine"
if [[ $rig == /tmp/* ]]; then
    mkdir -p "$mine${rig#/tmp}"
    mount --rbind "$rig" "$mine${rig#/tmp}"
fi
mount --rbind "$mine" /tmp

# SkyPilot's node set-up fetches uv with curl.
curl=$(command -v curl)
touch "$rig/shim/real-curl"
mount --bind "$curl" "$rig/shim/real-curl"
mount --bind "$rig/shim/curl" "$curl"

mkdir -p "$rig/slurm/$node"
slurmd -D -N "$node" -f "$SLURM_CONF" &
wait
