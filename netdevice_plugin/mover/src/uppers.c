/* What stands on a link. */

#include "uppers.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "link.h"

struct search {
    int ifindex;
    struct text *names;
};

/* A vxlan names the link below it in its own data alone. */
static uint32_t vxlan_lower(const struct rtattr *info)
{
    char kind[LINK_KIND_SIZE];

    if (info == NULL)
        return 0;
    attr_text(attr_find(attr_data(info), attr_size(info), IFLA_INFO_KIND), kind, sizeof kind);
    const struct rtattr *data = attr_find(attr_data(info), attr_size(info), IFLA_INFO_DATA);
    if (strcmp(kind, "vxlan") != 0 || data == NULL)
        return 0;
    return attr_u32(attr_find(attr_data(data), attr_size(data), IFLA_VXLAN_LINK), 0);
}

static bool is_veth(const struct rtattr *info)
{
    char kind[LINK_KIND_SIZE] = "";

    if (info != NULL)
        attr_text(attr_find(attr_data(info), attr_size(info), IFLA_INFO_KIND), kind, sizeof kind);
    return strcmp(kind, "veth") == 0 || strcmp(kind, "netkit") == 0;
}

static int note_upper(const struct nlmsghdr *message, void *arg)
{
    const struct search *search = arg;
    const struct ifinfomsg *info = NLMSG_DATA(message);
    char name[IFNAMSIZ];
    size_t size;

    if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH(sizeof *info))
        return 0;
    const void *attrs = message_attrs(message, sizeof *info, &size);
    const struct rtattr *kind = attr_find(attrs, size, IFLA_LINKINFO);
    uint32_t below = attr_find(attrs, size, IFLA_LINK_NETNSID) != NULL
                         ? 0 /* in another namespace */
                         : attr_u32(attr_find(attrs, size, IFLA_LINK), 0);
    /* The two ends of a pair name each other: neither stands on the other. */
    bool upper =
        (int)below == search->ifindex && info->ifi_index != search->ifindex && !is_veth(kind);
    if (!upper && (int)vxlan_lower(kind) != search->ifindex)
        return 0;
    attr_text(attr_find(attrs, size, IFLA_IFNAME), name, sizeof name);
    text_put(search->names, search->names->length == 0 ? "" : ", ");
    text_put(search->names, name);
    return 0;
}

int uppers_find(struct nl *nl, int ifindex, struct text *names)
{
    static struct request request;
    const struct ifinfomsg info = {0};
    struct search search = {ifindex, names};
    int rc = -EAGAIN;

    for (int attempt = 0; rc == -EAGAIN && attempt < 8; attempt++) {
        text_init(names, names->data, names->size);
        nl_start(&request, RTM_GETLINK, 0, &info, sizeof info);
        nl_put_u32(&request, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        rc = nl_dump(nl, &request, note_upper, &search);
    }
    return rc;
}
