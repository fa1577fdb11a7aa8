#ifndef NDM_LINK_H
#define NDM_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "list.h"
#include "netlink.h"

#define LINK_KIND_SIZE 32
#define LINK_ALIAS_SIZE 256   /* IFALIASZ */
#define LINK_ALTNAME_SIZE 128 /* ALTIFNAMSIZ */
#define LINK_ALTNAMES 64
#define CONF4_MAX 64 /* the kernel has 33 per-link IPv4 settings today, 60 IPv6 ones */
#define CONF6_MAX 128

/* A link as the kernel reports it, or as a record remembers it. */
struct link {
    int ifindex; /* 0: no link */
    int master;
    unsigned type; /* ARPHRD_* */
    uint32_t flags;
    uint32_t mtu;
    uint32_t txqlen;
    uint32_t group;
    uint32_t vrf_table; /* of a VRF */
    char name[IFNAMSIZ];
    char kind[LINK_KIND_SIZE]; /* empty for hardware */
    char alias[LINK_ALIAS_SIZE];
    char parent[64]; /* its device and that one's bus: 0000:03:00.0 on pci */
    char parent_bus[16];
    char pci[PCI_ADDRESS_SIZE];
    struct mac mac;
    struct mac permanent;
    size_t altname_count;
    char altnames[LINK_ALTNAMES][LINK_ALTNAME_SIZE];
    size_t conf4_count; /* 0: IPv4 is off on this link */
    int32_t conf4[CONF4_MAX];
    size_t conf6_count;
    int32_t conf6[CONF6_MAX];
    uint8_t token[16];
};

/* By ifindex, or by name or altname where that is 0. -ENODEV: there is none. */
int link_get(struct nl *nl, int ifindex, const char *name, struct link *out);

/* A link from an RTM_NEWLINK message, but for its PCI function. */
int link_read(const struct nlmsghdr *message, void *out);

/* Writes the last PCI address in where a symbolic link of sysfs points, if there is one. */
void pci_in_symlink(const char *path, char out[PCI_ADDRESS_SIZE]);
/* Finds a link's PCI function: its parent device, or the one that a virtio parent sits on. */
void link_find_pci(struct link *link);

bool link_has_altname(const struct link *link, const char *name);
/* The MAC that identifies a link: the permanent one if it has one. */
const struct mac *link_identity_mac(const struct link *link);

/* What a link is known by; empty members are not asked for. */
struct identity {
    char name[IFNAMSIZ];
    int ifindex;
    struct mac mac;
    char pci[PCI_ADDRESS_SIZE];
    char kind[LINK_KIND_SIZE];
};

/*
 * The rules of docs/reference/mover.md, "How a link is recognised". 0 and the link;
 * -ENODEV: none; -EEXIST: several that cannot be told apart, or a link of that name
 * that is another one. `why` then says what was found.
 */
int link_identify(struct nl *nl, const struct identity *identity, struct link *out,
                  struct text *why);

/* Dumps all links of the namespace, or at least the ports of `master`, if that is not 0. */
int links_each(struct nl *nl, int master, nl_each each, void *arg);

/* A request to change a link: attributes follow. `mask` says which flags are meant. */
void link_change(struct request *request, int ifindex, uint32_t flags, uint32_t mask);

/* Changes: each is one request to the kernel. */
int link_set_flags(struct nl *nl, int ifindex, uint32_t flags, uint32_t mask);
int link_set_mac(struct nl *nl, int ifindex, const struct mac *mac);
int link_rename(struct nl *nl, int ifindex, const char *name);
int link_remove(struct nl *nl, int ifindex);
int link_altname(struct nl *nl, int ifindex, const char *name, bool add);

/*
 * A new link: start, whatever attributes else, nest, those of its kind, make. `below` and
 * `group` may be 0.
 */
struct nests {
    size_t info, data;
};
void link_start(struct request *request, const char *name, int below, uint32_t group);
struct nests link_nest(struct request *request, const char *kind);
void link_put_vlan(struct request *request, uint32_t id, uint16_t protocol);
int link_make(struct nl *nl, struct request *request, struct nests nests);

/* Moves the link into another namespace under `name`, which may be its own; wants ifindex
 * `number` there if it is not 0. */
int link_move(struct nl *nl, int ifindex, int netns, const char *name, int number);

#endif
