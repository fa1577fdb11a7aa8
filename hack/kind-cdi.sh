#!/usr/bin/env bash
# A kind cluster in which a pod is given a link of its node, and the node has it back afterwards.
#
#   hack/kind-cdi.sh [--dra] [--name NAME] [--node-image IMAGE]    make it, or use the one that is there
#   hack/kind-cdi.sh --delete [--name NAME]                        remove it
#
# Asks for kind, docker and kubectl. NAME is netdevice by default; IMAGE is kind's own choice, or for
# containerd 1.7 instead of 2 say kindest/node:v1.32.0. The image of the agent is built of this
# checkout and loaded into the cluster. Run it again after a change.
#
# With --dra the pod asks by a ResourceClaim, and the agent is that of deploy/overlays/dra. It takes
# Kubernetes 1.32; what a version does not have on by itself is switched on as IMAGE says which it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly link=dummy0 address=192.168.8.8/32 resource=networking.k8s.io/netdevice
readonly namespace=netdevice-plugin driver=networking.k8s.io
name=netdevice node_image='' delete='' dra='' api='' doing=''

main() {
    parse "$@"
    need kind docker kubectl
    trap failed EXIT
    if [ "$delete" ]; then
        step "delete cluster $name"
        kind delete cluster --name "$name"
        doing=''
        return
    fi
    make_cluster
    if [ "$dra" ]; then find_api; fi
    load_image
    make_link
    install
    try_pod
    doing=''
    printf '\nok: %s is as it was\nthe cluster stays: %s --delete --name %s\n' "$link" "$0" "$name"
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --name | --node-image)
            [ "${2:-}" ] || usage "$1 needs a value"
            if [ "$1" = --name ]; then name=$2; else node_image=$2; fi
            shift 2
            ;;
        --delete | --dra)
            if [ "$1" = --dra ]; then dra=yes; else delete=yes; fi
            shift
            ;;
        --help)
            sed -n 's/^# \{0,1\}//p; /^set /q' "${BASH_SOURCE[0]}" | tail -n +2
            exit
            ;;
        *) usage "unknown argument $1" ;;
        esac
    done
    if [ "$dra" ]; then
        readonly pod=netdevice-claim example=deploy/examples/dra/claim-template.yaml
    else
        readonly pod=netdevice-demo example=deploy/examples/pod.yaml
    fi
    readonly name node_image delete dra worker=$name-worker
}

step() {
    doing=$1
    printf '\n==> %s\n' "$1" >&2
}

failed() {
    [ -z "$doing" ] || printf '\nerror: cannot %s\nhint: see above; to try again, run it again\n' "$doing" >&2
}

die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

usage() {
    printf 'error: %s\nhint: see %s --help\n' "$1" "$0" >&2
    exit 2
}

need() {
    local tool missing=()
    for tool; do command -v "$tool" >/dev/null || missing+=("$tool"); done
    [ ${#missing[@]} = 0 ] || die "missing: ${missing[*]}" "install them, and put them into PATH"
}

kube() { kubectl --context "kind-$name" "$@"; }

# kind writes containerd's file in the layout of version 2 for containerd 1.7 and 2 alike, and skips
# a patch for another version; once it writes version 3, CDI is on without one.
make_cluster() {
    local clusters
    step "list clusters"
    clusters=$(kind get clusters)
    if grep -qxF "$name" <<<"$clusters"; then return; fi
    step "create cluster $name"
    kind create cluster --name "$name" ${node_image:+--image "$node_image"} --wait 3m --config=- <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
- role: worker
containerdConfigPatches:
- |-
  version = 2
  [plugins."io.containerd.grpc.v1.cri"]
    enable_cdi = true
    cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
$(if [ "$dra" ]; then dra_config; fi)
YAML
}

# What DRA asks for and the version does not have on: a gate that a version does not know keeps its
# components from starting.
dra_config() {
    case $node_image in
    *:v1.32.* | *:v1.33.*)
        cat <<'YAML'
featureGates:
  DynamicResourceAllocation: true
  DRAResourceClaimDeviceStatus: true
runtimeConfig:
  resource.k8s.io/v1beta1: "true"
YAML
        ;;
    *:v1.34.* | *:v1.35.*)
        cat <<'YAML'
featureGates:
  DRAExtendedResource: true
YAML
        ;;
    esac
}

# Once the cluster is there it says itself what it has.
find_api() {
    local served version
    step "find resource.k8s.io among the APIs of cluster $name"
    served=$(kube api-versions)
    for version in v1 v1beta1; do
        if grep -qxF "resource.k8s.io/$version" <<<"$served"; then
            readonly api=$version
            return
        fi
    done
    doing=''
    die "cluster $name has no DRA" "--delete it, and make it with --dra, of kindest/node:v1.32 or later"
}

load_image() {
    local image
    image=$(sed -n 's/^ *image: //p' install.yaml | sort -u)
    step "build $image"
    docker build --tag "$image" .
    step "load $image into the cluster"
    kind load docker-image --name "$name" "$image"
}

# A pod of a run that was interrupted has the link; another of that name would be in its way.
make_link() {
    step "remove pod $pod of an earlier run"
    kube delete pod $pod --ignore-not-found --wait --timeout=60s
    step "make link $link on $worker"
    if ! docker exec "$worker" ip link show dev $link >/dev/null 2>&1; then
        docker exec "$worker" ip link add $link type dummy
    fi
    docker exec "$worker" ip address replace $address dev $link
    docker exec "$worker" ip link set $link up
}

install() {
    local before
    step "install the agent"
    before=$(kube --namespace $namespace get daemonset --ignore-not-found --output name)
    apply_agent
    if [ "$before" ]; then # with an image of the same name, which by itself changes nothing
        kube --namespace $namespace rollout restart daemonset/$namespace
    fi
    step "wait for the agent"
    kube --namespace $namespace rollout status daemonset/$namespace --timeout=180s
    if [ "$dra" ]; then
        step "wait until $worker has $link in a slice"
        kube wait resourceslices --field-selector "spec.driver=$driver,spec.nodeName=$worker" \
            --timeout=60s --for="jsonpath={.spec.devices[0].name}=$link"
    else
        step "wait until $worker has one $resource to give"
        kube wait "node/$worker" --timeout=60s \
            --for="jsonpath={.status.allocatable.${resource//./\\.}}=1"
    fi
}

apply_agent() {
    local manifests
    if [ "$dra" ]; then
        manifests=$(kubectl kustomize deploy/overlays/dra)
        as_served <<<"$manifests" | kube apply --filename=-
    else
        kube apply --filename install.yaml
    fi
}

# as_served: what is written for v1, as the cluster takes it. In v1beta1 a request has no alternatives.
as_served() {
    if [ "$api" != v1beta1 ]; then
        cat
        return
    fi
    sed -e 's|^apiVersion: resource.k8s.io/v1$|&beta1|' -e '/^ *extendedResourceName:/d' \
        -e '/^ *exactly:$/{N;s/^ *exactly:\n  //}'
}

try_pod() {
    step "start pod $pod"
    if [ "$dra" ]; then
        as_served <"$example" | kube apply --filename=-
    else
        kube apply --filename $example
    fi
    kube wait pod/$pod --for=condition=Ready --timeout=120s
    step "find $address in the pod"
    shows "$address" kube exec $pod -- ip address
    step "delete pod $pod"
    kube delete pod $pod --wait --timeout=60s
    step "find $address on $worker again"
    shows "$address" docker exec "$worker" ip address show dev $link
}

# shows TEXT COMMAND...: print what the command says; fail unless TEXT is in it.
shows() {
    local said
    said=$("${@:2}")
    printf '%s\n' "$said"
    [[ $said == *"$1"* ]]
}

main "$@"
