/* Policy rules, and neighbours, in the pod. */

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <sys/socket.h>

#include "message.h"
#include "pod.h"

/*
 * The device's own number, FNV-1a of its name. Rules have it as a group of links that they
 * are not to lead to, of which there is none: so that a device takes no rule for its own
 * that another one of the pod has added, should it be killed before it had added its own.
 */
uint32_t device_number(const char *device)
{
    uint32_t hash = 2166136261U;

    for (; *device != '\0'; device++)
        hash = (hash ^ (uint8_t)*device) * 16777619U;
    return 1U << 30 | hash >> 2; /* neither 0, which links have, nor -1, which is none */
}

static struct item rule_of(const struct rule_arg *arg, uint8_t family, const char *self,
                           uint32_t number)
{
    static struct request request;
    const uint8_t protocol = OUR_PROTOCOL;
    const struct fib_rule_hdr header = {
        .family = family,
        .src_len = arg->from.prefix,
        .dst_len = arg->to.prefix,
        .action = FR_ACT_TO_TBL,
    };

    nl_start(&request, RTM_NEWRULE, 0, &header, sizeof header);
    if (arg->from.prefix > 0)
        nl_put(&request, FRA_SRC, arg->from.bytes, ip_size(&arg->from));
    if (arg->to.prefix > 0)
        nl_put(&request, FRA_DST, arg->to.bytes, ip_size(&arg->to));
    if (arg->mask != 0) {
        nl_put_u32(&request, FRA_FWMARK, arg->mark);
        nl_put_u32(&request, FRA_FWMASK, arg->mask);
    }
    if (arg->iif)
        nl_put_text(&request, FRA_IIFNAME, self);
    if (arg->oif)
        nl_put_text(&request, FRA_OIFNAME, self);
    if (arg->priority != 0)
        nl_put_u32(&request, FRA_PRIORITY, arg->priority);
    nl_put_u32(&request, FRA_TABLE, arg->table);
    nl_put_u32(&request, FRA_SUPPRESS_IFGROUP, number);
    nl_put(&request, FRA_PROTOCOL, &protocol, sizeof protocol);
    return item_of(&request);
}

/* One that names no family is for both. */
int rules_prepare(struct mover *mover)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    const struct options *options = mover->options;
    const char *self = options->vlan.id != 0 ? options->vlan.name : options->as;
    const uint32_t number = device_number(options->device);
    int rc = 0;

    for (size_t i = 0; i < options->rule_count; i++) {
        const struct rule_arg *arg = &options->rules[i];
        uint8_t family = arg->from.family | arg->to.family; /* the same if both are given */
        for (size_t f = 0; f < 2 && rc == 0; f++) {
            struct item rule = rule_of(arg, families[f], self, number);
            if (family == 0 || family == families[f])
                rc = list_add(&mover->record.pod_rules, rule.data, rule.size);
        }
    }
    return rc < 0 ? fail(mover, rc, "record the rules for the pod", NULL) : 0;
}

/* Of a rule for both families, on a kernel that does not have IPv6. */
static bool is_spare(int rc, struct item rule)
{
    const struct fib_rule_hdr *header = rule.data;

    return (rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP) && header->family == AF_INET6 &&
           header->src_len == 0 && header->dst_len == 0;
}

int rules_add(struct mover *mover, struct pod *pod)
{
    LIST_EACH(rule, &mover->record.pod_rules) {
        int rc = message_send(&pod->nl, RULE, ADD, rule, 0, 0, 0);
        if (rc < 0 && !is_spare(rc, rule))
            return fail_message(mover, &pod->nl, rc, "add in the pod the ", RULE, rule);
    }
    return 0;
}

static struct item neighbour_of(const struct neighbour_arg *arg, int ifindex)
{
    static struct request request;
    const struct ndmsg header = {
        .ndm_family = arg->ip.family,
        .ndm_ifindex = ifindex,
        .ndm_state = NUD_PERMANENT,
        .ndm_flags = arg->mac.length == 0 ? NTF_PROXY : 0,
    };

    nl_start(&request, RTM_NEWNEIGH, 0, &header, sizeof header);
    nl_put(&request, NDA_DST, arg->ip.bytes, ip_size(&arg->ip));
    if (arg->mac.length != 0)
        nl_put(&request, NDA_LLADDR, arg->mac.bytes, arg->mac.length);
    return item_of(&request);
}

/* They go away with the link. */
int neighbours_add(struct mover *mover, struct pod *pod, const struct link *link)
{
    const struct options *options = mover->options;

    for (size_t i = 0; i < options->neighbour_count; i++) {
        const struct neighbour_arg *arg = &options->neighbours[i];
        struct item neighbour = neighbour_of(arg, link->ifindex);
        /* The kernel would cut one that is too long. */
        bool fits = arg->mac.length == 0 || arg->mac.length == link->mac.length;
        int rc =
            fits ? message_send(&pod->nl, NEIGHBOUR, ADD, neighbour, 0, link->ifindex, 0) : -EINVAL;
        if (rc < 0)
            return fail_message(mover, &pod->nl, rc, "add in the pod the ", NEIGHBOUR, neighbour);
    }
    return 0;
}
