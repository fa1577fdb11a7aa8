/* Settings of a virtual function: read from its physical function's link, and made there. */

#include "vfinfo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <string.h>

#include "link.h"

#define CANDIDATES 1024 /* links of one PCI function: in switchdev mode one more for each VF */

/* Where the kernel has each setting: as the nth word of this attribute. */
static const struct {
    uint8_t attr, word;
} places[VF_KEYS] = {
    [VF_MAC] = {IFLA_VF_MAC, 1},           [VF_VLAN] = {IFLA_VF_VLAN_LIST, 1},
    [VF_QOS] = {IFLA_VF_VLAN_LIST, 2},     [VF_PROTOCOL] = {IFLA_VF_VLAN_LIST, 3},
    [VF_MIN_TX_RATE] = {IFLA_VF_RATE, 1},  [VF_MAX_TX_RATE] = {IFLA_VF_RATE, 2},
    [VF_SPOOFCHK] = {IFLA_VF_SPOOFCHK, 1}, [VF_LINK_STATE] = {IFLA_VF_LINK_STATE, 1},
    [VF_TRUST] = {IFLA_VF_TRUST, 1},
};

/* ---- finding ---- */

/* What "physfn", or "virtfn" and a number, of a PCI function points at; false: nothing. */
static bool find_function(const char *pci, const char *name, int number, char out[PCI_ADDRESS_SIZE])
{
    char path[128];
    struct text text;

    text_init(&text, path, sizeof path);
    text_put(&text, "/sys/bus/pci/devices/");
    text_put(&text, pci);
    text_put_char(&text, '/');
    text_put(&text, name);
    if (number >= 0)
        text_put_unsigned(&text, (uint64_t)number);
    out[0] = '\0';
    pci_in_symlink(path, out);
    return out[0] != '\0';
}

bool vf_is(const char *pci)
{
    char pf[PCI_ADDRESS_SIZE];

    return find_function(pci, "physfn", -1, pf);
}

struct search {
    const char *pci;
    size_t count;
    int found[CANDIDATES];
};

static int consider(const struct nlmsghdr *message, void *arg)
{
    static struct link link;
    struct search *search = arg;

    if (message == NULL) {
        search->count = 0;
        return 0;
    }
    int rc = link_read(message, &link);
    if (rc < 0)
        return rc;
    link_find_pci(&link);
    if (strcmp(link.pci, search->pci) == 0 && search->count < CANDIDATES)
        search->found[search->count++] = link.ifindex;
    return 0;
}

/* ---- reading ---- */

static uint32_t word_of(const struct rtattr *attr, size_t n)
{
    uint32_t word = VF_UNTOLD;

    if (attr != NULL && attr_size(attr) >= (n + 1) * sizeof word)
        memcpy(&word, (const uint32_t *)attr_data(attr) + n, sizeof word);
    return word;
}

/* The attributes of the VF with that number, among those of a PF's link. */
static const struct rtattr *find_info(const struct rtattr *list, uint32_t number)
{
    if (list == NULL)
        return NULL;
    size_t left = attr_size(list);
    for (const struct rtattr *a = attr_first(attr_data(list), left); a; a = attr_next(a, &left))
        if (word_of(attr_find(attr_data(a), attr_size(a), IFLA_VF_MAC), 0) == number)
            return a;
    return NULL;
}

static int read_info(const struct nlmsghdr *message, void *arg)
{
    struct vf *vf = arg;
    size_t size;
    const void *attrs = message_attrs(message, sizeof(struct ifinfomsg), &size);
    const struct rtattr *info = find_info(attr_find(attrs, size, IFLA_VFINFO_LIST), vf->number);

    if (info == NULL)
        return -ENODEV;
    for (unsigned key = 0; key < VF_KEYS; key++) {
        const struct rtattr *attr = attr_find(attr_data(info), attr_size(info), places[key].attr);
        if (attr != NULL && places[key].attr == IFLA_VF_VLAN_LIST)
            attr = attr_find(attr_data(attr), attr_size(attr), IFLA_VF_VLAN_INFO);
        vf->now.values[key] = word_of(attr, places[key].word);
        if (key == VF_MAC && vf->now.values[key] != VF_UNTOLD)
            memcpy(vf->now.mac.bytes, (const char *)attr_data(attr) + 4, ETH_ALEN);
    }
    vf->now.mac.length = ETH_ALEN;
    vf->now.values[VF_PROTOCOL] = vf->now.values[VF_PROTOCOL] == htons(ETH_P_8021AD);
    return 0;
}

/* `nl` keeps the kernel's last words. */
static int vf_read(struct nl *nl, struct vf *vf)
{
    static struct request request;
    const struct ifinfomsg info = {.ifi_index = vf->pf};
    struct nl probe = *nl;

    nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
    nl_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS);
    int rc = nl_get(&probe, &request, read_info, vf);
    nl->seq = probe.seq;
    return rc;
}

int vf_find(struct nl *nl, const char *pci, struct vf *vf, struct text *why)
{
    static struct search search;
    char pf[PCI_ADDRESS_SIZE], other[PCI_ADDRESS_SIZE];

    nl->why[0] = '\0';
    if (!find_function(pci, "physfn", -1, pf)) {
        text_put(why, "it is no virtual function (VF) of a NIC");
        return -EOPNOTSUPP;
    }
    vf->number = 0;
    while (find_function(pf, "virtfn", (int)vf->number, other) && strcmp(other, pci) != 0)
        vf->number++;
    search.pci = pf;
    int rc = links_each(nl, 0, consider, &search);
    for (size_t i = 0; rc == 0 && i < search.count; i++) {
        vf->pf = search.found[i];
        rc = vf_read(nl, vf);
        if (rc != -ENODEV)
            return rc;
        rc = 0;
    }
    text_put(why, "no link here of its physical function ");
    text_put(why, pf);
    text_put(why, " knows it");
    return rc == 0 ? -ENODEV : rc;
}

/* ---- making ---- */

static void put_words(struct request *request, unsigned attr, const uint32_t *words, size_t count)
{
    const bool vlan = attr == IFLA_VF_VLAN_LIST;
    size_t nest = vlan ? nl_nest(request, attr) : 0;

    nl_put(request, vlan ? IFLA_VF_VLAN_INFO : attr, words, count * sizeof *words);
    if (vlan)
        nl_end_nest(request, nest);
}

/* Those of `which`, and what the kernel sets together with them. */
static void put_settings(struct request *request, uint32_t number, const struct vf_arg *goal,
                         uint32_t which)
{
    unsigned key = VF_MAC;

    while (key < VF_KEYS) {
        const unsigned attr = places[key].attr;
        uint32_t words[1 + MAC_MAX / 4] = {number};
        size_t count = attr == IFLA_VF_MAC ? sizeof words / sizeof words[0] : 1;
        bool wanted = false;
        for (; key < VF_KEYS && places[key].attr == attr; key++) {
            wanted |= which >> key & 1;
            if (key == VF_MAC)
                memcpy(words + 1, goal->mac.bytes, ETH_ALEN);
            else
                words[count++] = key == VF_PROTOCOL
                                     ? htons(goal->values[key] ? ETH_P_8021AD : ETH_P_8021Q)
                                     : goal->values[key];
        }
        if (wanted)
            put_words(request, attr, words, count);
    }
}

/* A bit for each setting that is not as wanted. */
static uint32_t differing(const struct vf_arg *now, const struct vf_arg *wanted)
{
    uint32_t result = 0;

    for (unsigned key = 0; key < VF_KEYS; key++)
        if (wanted->given >> key & 1 && (key == VF_MAC ? !mac_equal(&now->mac, &wanted->mac)
                                                       : now->values[key] != wanted->values[key]))
            result |= 1U << key;
    return result;
}

/* The first of `which`, with what is set together with it. */
static void blame(struct text *why, struct vf_arg settings, uint32_t which)
{
    unsigned key = (unsigned)__builtin_ctz(which), last = key;

    while (last + 1 < VF_KEYS && places[last + 1].attr == places[key].attr)
        last++;
    settings.given &= (2U << last) - (1U << key);
    vf_format(why, &settings);
}

static bool is_zero(const struct mac *mac)
{
    static const struct mac zero = {.length = ETH_ALEN};

    return mac_equal(mac, &zero);
}

/*
 * The kernel makes one setting after the other and stops at the first that it or the
 * driver refuses, without a word which that is: the first that is not as wanted then.
 * So is one that was taken and not kept. A MAC that is set to zero may be shown as the
 * one that the VF has by itself.
 */
int vf_make(struct nl *nl, struct vf *vf, const struct vf_arg *wanted, struct text *why)
{
    static struct request request;
    struct vf_arg goal = vf->now;
    uint32_t which = differing(&vf->now, wanted);

    if (which == 0)
        return 0;
    for (unsigned key = 0; key < VF_KEYS; key++)
        if (wanted->given >> key & 1)
            goal.values[key] = wanted->values[key];
    if (wanted->given & 1U << VF_MAC)
        goal.mac = wanted->mac;
    link_change(&request, vf->pf, 0, 0);
    size_t list = nl_nest(&request, IFLA_VFINFO_LIST), one = nl_nest(&request, IFLA_VF_INFO);
    put_settings(&request, vf->number, &goal, which);
    nl_end_nest(&request, one);
    nl_end_nest(&request, list);
    int rc = nl_call(nl, &request);
    int read = vf_read(nl, vf);
    which = read < 0 ? 0 : differing(&vf->now, wanted);
    if (rc == 0 && is_zero(&wanted->mac))
        which &= ~(1U << VF_MAC);
    if (which == 0)
        return rc < 0 ? rc : read;
    blame(why, *wanted, which);
    if (rc == 0) {
        text_put(why, ", of which the driver makes ");
        vf->now.given = wanted->given;
        blame(why, vf->now, which);
    }
    return rc < 0 ? rc : -EOPNOTSUPP;
}
