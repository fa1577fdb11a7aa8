/*
 * The command line of docs/reference/mover.md as a plain struct.
 *
 * Strings point into argv. No system call, no output: the caller prints the error.
 */
#ifndef NDM_ARGS_H
#define NDM_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "settings.h"

#define OPTIONS_ADDRESSES 64
#define OPTIONS_ROUTES 64
#define OPTIONS_RULES 64
#define OPTIONS_NEIGHBOURS 64
#define LINK_NAME_SIZE 16       /* IFNAMSIZ */
#define SCOPE_BY_KERNEL 255     /* RT_SCOPE_NOWHERE: none was given */
#define RUN_DIR_MAX 1024 /* bytes, so that every path below it is short of PATH_MAX */

enum command {
    COMMAND_ATTACH = 1,
    COMMAND_DETACH,
    COMMAND_RECLAIM,
    COMMAND_HELP,
    COMMAND_VERSION,
};

/* An absent address has family 0; all that are present have the destination's family. */
struct route_arg {
    const char *text; /* as given, for messages */
    struct ip destination;
    struct ip gateway;
    struct ip source;
    uint32_t metric; /* 0: the kernel's choice */
    uint32_t table;  /* unless given 254, main, or the VRF's */
    uint8_t scope;   /* RT_SCOPE_*, or SCOPE_BY_KERNEL */
    bool onlink;
};

/* Without `from` and `to` it is for both families. */
struct rule_arg {
    struct ip from, to;
    uint32_t mark, mask; /* mask 0: none was given */
    uint32_t table;
    uint32_t priority; /* 0: the kernel's choice */
    bool iif, oif;     /* of the link that is lent, or its VLAN */
};

struct neighbour_arg {
    struct ip ip;
    struct mac mac; /* none: a proxy entry */
};

struct vrf_arg {
    char name[LINK_NAME_SIZE];
    uint32_t table; /* 0: no VRF */
};

struct vlan_arg {
    uint32_t id; /* 0: no VLAN */
    uint16_t protocol;
    char name[LINK_NAME_SIZE];
};

enum create_sort { CREATE_MACVLAN, CREATE_IPVLAN, CREATE_VLAN };

struct create_arg {
    char kind[8]; /* "": the link is not made, but moved */
    enum create_sort sort;
    uint32_t number; /* the mode as the kernel has it, or the VLAN's id; 0: none yet */
    uint16_t flag;   /* of an ipvlan, or the VLAN's protocol */
};

/* Settings of a virtual function, in the order in which the kernel makes them. */
enum vf_key {
    VF_MAC,
    VF_VLAN,
    VF_QOS,
    VF_PROTOCOL, /* 0: 802.1Q, 1: 802.1ad */
    VF_MIN_TX_RATE,
    VF_MAX_TX_RATE,
    VF_SPOOFCHK,
    VF_LINK_STATE, /* IFLA_VF_LINK_STATE_* */
    VF_TRUST,
    VF_KEYS
};

#define RDMA_NAME_SIZE 64 /* the kernel's IB_DEVICE_NAME_MAX */
#define VF_TEXT_SIZE 192 /* all of them as a phrase */

/* VLAN, QoS and protocol are given together, or none of them. */
struct vf_arg {
    uint32_t given; /* a bit for each key */
    struct mac mac; /* of 6 bytes; zero, in a record: the PF has set none */
    uint32_t values[VF_KEYS];
};

struct options {
    enum command command;
    const char *device;            /* "" for help and version */
    char run_dir[RUN_DIR_MAX + 1]; /* absolute, no slash at its end */

    const char *link;                /* "" if not given */
    uint32_t link_ifindex;           /* 0 if not given */
    struct mac link_mac;             /* length 0 if not given */
    char link_pci[PCI_ADDRESS_SIZE]; /* lower case; "" if not given */
    const char *link_kind;           /* "" if not given */

    struct create_arg create; /* `link` is then the parent */

    const char *as; /* `link` if not given */
    uint32_t mtu;   /* 0 if not given */
    struct mac mac; /* length 0 if not given */
    bool no_addresses;
    bool keep_down;
    size_t address_count;
    struct ip addresses[OPTIONS_ADDRESSES];
    size_t route_count;
    struct route_arg routes[OPTIONS_ROUTES];
    bool gateway;
    size_t rule_count;
    struct rule_arg rules[OPTIONS_RULES];
    size_t neighbour_count;
    struct neighbour_arg neighbours[OPTIONS_NEIGHBOURS];
    struct vrf_arg vrf;
    struct vlan_arg vlan;
    struct vf_arg vf;
    const char *rdma; /* "" if not given */
    size_t setting_count;
    struct setting settings[SETTINGS_MAX]; /* no two of a group and a name */
    uint32_t wait_ms;

    bool force;
    bool forget;
};

/* What a phrase as that of --vf says, which may have a MAC of zeros; -EINVAL. */
int vf_parse(const char *phrase, struct vf_arg *out);
/* Such a phrase; and one setting of it, "trust on". */
void vf_format(struct text *out, const struct vf_arg *vf);
void vf_put(struct text *out, const struct vf_arg *vf, enum vf_key key);

/*
 * Returns 0, or -EINVAL with one line without a newline in `error`: which option,
 * what is wrong, what would be right. *out is then not to be used.
 */
int options_parse(int argc, char **argv, struct options *out, char *error, size_t size);

extern const char options_help[];

#endif
