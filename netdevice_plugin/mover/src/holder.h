#ifndef NDM_HOLDER_H
#define NDM_HOLDER_H

#include <stdint.h>

#include "ocistate.h"
#include "text.h"

/* A container that asked for the device; `pid` and `start` together name its process. */
struct holder {
    char id[OCI_ID_SIZE];
    int pid;
    uint64_t start; /* clock ticks after boot */
    uint64_t since; /* unix seconds */
    char pod_namespace[OCI_NAME_SIZE];
    char pod_name[OCI_NAME_SIZE];
    char pod_uid[OCI_NAME_SIZE];
    char container[OCI_NAME_SIZE];
};

/* The line of a record that names it, behind its key. -EINVAL: it does not. */
void holder_put(struct text *out, const struct holder *holder);
int holder_parse(struct span value, struct holder *out);

#endif
