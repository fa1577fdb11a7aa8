/* What stands on a link. */

#include "uppers.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "link.h"

#define FOUND 32
#define ROUNDS 64 /* of a pod that makes links as fast as we remove them */

struct search {
    int ifindex;
    struct text *names; /* or else their numbers: */
    int found[FOUND];
    size_t count; /* of all of them */
};

/* A vxlan names the link below it in its own data alone. */
static uint32_t vxlan_lower(const struct rtattr *info, const char *kind)
{
    if (strcmp(kind, "vxlan") != 0)
        return 0;
    const struct rtattr *data = attr_find(attr_data(info), attr_size(info), IFLA_INFO_DATA);
    if (data == NULL)
        return 0;
    return attr_u32(attr_find(attr_data(data), attr_size(data), IFLA_VXLAN_LINK), 0);
}

static void read_kind(const struct rtattr *info, char out[LINK_KIND_SIZE])
{
    out[0] = '\0';
    if (info != NULL)
        attr_text(attr_find(attr_data(info), attr_size(info), IFLA_INFO_KIND), out, LINK_KIND_SIZE);
}

static int note_upper(const struct nlmsghdr *message, void *arg)
{
    struct search *search = arg;
    char name[IFNAMSIZ], kind[LINK_KIND_SIZE];
    size_t size;

    if (message == NULL) {
        if (search->names != NULL)
            text_init(search->names, search->names->data, search->names->size);
        search->count = 0;
        return 0;
    }
    if (message->nlmsg_type != RTM_NEWLINK ||
        message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
        return 0;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    const void *attrs = message_attrs(message, sizeof *info, &size);
    const struct rtattr *linkinfo = attr_find(attrs, size, IFLA_LINKINFO);
    read_kind(linkinfo, kind);
    uint32_t below = attr_find(attrs, size, IFLA_LINK_NETNSID) != NULL
                         ? 0 /* in another namespace */
                         : attr_u32(attr_find(attrs, size, IFLA_LINK), 0);
    /* The two ends of a pair name each other: neither stands on the other. */
    bool upper = (int)below == search->ifindex && info->ifi_index != search->ifindex &&
                 strcmp(kind, "veth") != 0 && strcmp(kind, "netkit") != 0;
    if (!upper && (int)vxlan_lower(linkinfo, kind) != search->ifindex)
        return 0;
    if (search->names == NULL) {
        if (search->count < FOUND)
            search->found[search->count] = info->ifi_index;
        search->count++;
        return 0;
    }
    attr_text(attr_find(attrs, size, IFLA_IFNAME), name, sizeof name);
    text_put(search->names, search->names->length == 0 ? "" : ", ");
    text_put(search->names, name);
    return 0;
}

int uppers_find(struct nl *nl, int ifindex, struct text *names)
{
    struct search search = {.ifindex = ifindex, .names = names};

    return links_each(nl, 0, note_upper, &search);
}

int uppers_remove(struct nl *nl, int ifindex)
{
    struct search search = {.ifindex = ifindex};
    int rc = 0, round = 0;

    do {
        int seen = links_each(nl, 0, note_upper, &search);
        if (seen < 0 && seen != -EAGAIN) /* in a namespace that never rests: what we saw of it */
            return seen;
        for (size_t i = 0; i < search.count && i < FOUND; i++) {
            int removed = link_remove(nl, search.found[i]);
            if (removed < 0 && removed != -ENODEV) /* it may have gone with another one */
                rc = removed;
        }
    } while (rc == 0 && search.count > FOUND && ++round < ROUNDS);
    return search.count > FOUND && rc == 0 ? -E2BIG : rc;
}
