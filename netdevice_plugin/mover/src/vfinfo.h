#ifndef NDM_VFINFO_H
#define NDM_VFINFO_H

#include "args.h"
#include "netlink.h"

#define VF_UNTOLD UINT32_MAX /* the kernel's word for a setting that the driver does not tell */

/* A virtual function, as its physical function knows it. */
struct vf {
    int pf; /* ifindex of its link */
    uint32_t number;
    struct vf_arg now; /* what was given is what the driver tells */
};

/* Whether a PCI function is a virtual one of a NIC that is here as well. */
bool vf_is(const char *pci);

/* Finds the VF that a PCI function is; else `why` says what is not there. */
int vf_find(struct nl *nl, const char *pci, struct vf *vf, struct text *why);
/* Has its PF make the settings that are given; else `why` says which it did not. */
int vf_make(struct nl *nl, struct vf *vf, const struct vf_arg *wanted, struct text *why);

#endif
