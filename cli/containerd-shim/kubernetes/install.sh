#!/bin/sh
# Puts the shim on a node and tells containerd of it. /host/bin and /host/containerd are the node's
# /usr/local/bin and /etc/containerd. Running it again changes nothing.
set -eu
shim=${SHIM:-/containerd-shim-minirt-v1}
bin=${BIN:-/host/bin}
config=${CONFIG:-/host/containerd/config.toml}
changed=
if [ -s "$config" ] && ! grep -q '^version *= *[23]' "$config"; then
    echo "$config is not changed: it does not begin with 'version = 2' or 3" >&2
    exit 1
fi
if ! cmp -s "$shim" "$bin/containerd-shim-minirt-v1"; then
    # Shims that run keep the old file.
    install -m 755 "$shim" "$bin/.containerd-shim-minirt-v1.new"
    mv "$bin/.containerd-shim-minirt-v1.new" "$bin/containerd-shim-minirt-v1"
fi
[ -s "$config" ] || echo 'version = 2' >"$config"
# The part of containerd that runs pods has another name in the third version of its configuration.
plugin='io.containerd.grpc.v1.cri'
if grep -q '^version *= *3' "$config"; then plugin='io.containerd.cri.v1.runtime'; fi
runtimes="containerd.runtimes"
if ! grep -q "$runtimes\.runc\]" "$config"; then
    # Where one runtime is named, the one for all other pods has to be.
    cat >>"$config" <<END

[plugins."$plugin".$runtimes.runc]
runtime_type = "io.containerd.runc.v2"
END
    changed=yes
fi
if ! grep -q "$runtimes\.minirt\]" "$config"; then
    cat >>"$config" <<END

[plugins."$plugin".$runtimes.minirt]
runtime_type = "io.containerd.minirt.v1"
pod_annotations = ["minirt.snapshot.*"]
container_annotations = ["minirt.snapshot.*"]
END
    changed=yes
fi
if [ -n "$changed" ] && [ -z "${NO_RESTART:-}" ]; then
    nsenter --target 1 --mount -- systemctl restart containerd
fi
if [ -n "${NODE:-}" ]; then
    kubectl label --overwrite node "$NODE" minirt.io/shim=installed
fi
