/*
 * The OCI state that a runtime writes to a hook's stdin (runtime-spec, "State").
 *
 * The text is checked as strict JSON from the first byte to the last; of its content
 * only what stands in struct oci_state is kept. `status` is not: runtimes disagree on it.
 */
#ifndef NDM_OCISTATE_H
#define NDM_OCISTATE_H

#include <limits.h>
#include <stddef.h>

#include "json.h"

#define OCI_STATE_MAX (1U << 20) /* bytes; a state is a few KiB of annotations at most */
#define OCI_ID_SIZE 256
#define OCI_NAME_SIZE 256 /* Kubernetes: names 253, namespaces 63, UIDs 36 */

/* All strings are terminated; empty where the state does not have them. */
struct oci_state {
    char id[OCI_ID_SIZE]; /* never empty, see is_container_id() */
    int pid;              /* 0: no process (absent in runc's poststop, 0 in crun's) */
    char bundle[PATH_MAX];
    /*
     * From containerd's io.kubernetes.cri.* annotations or CRI-O's
     * io.kubernetes.{pod,container}.*; any bytes but NUL, so escape them.
     */
    char pod_name[OCI_NAME_SIZE];
    char pod_namespace[OCI_NAME_SIZE];
    char pod_uid[OCI_NAME_SIZE];
    char container[OCI_NAME_SIZE];
};

/*
 * Returns 0, -EINVAL (not JSON, or not a state), -ELOOP (nested too deep) or
 * -E2BIG (longer than OCI_STATE_MAX). *out is all zero after a failure.
 */
int oci_state_parse(const char *text, size_t length, struct oci_state *out,
                    struct parse_error *error);

#endif
