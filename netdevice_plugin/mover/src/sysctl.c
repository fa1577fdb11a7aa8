/* Per-link settings: read with the link, written through /proc/sys/net. */

#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

/*
 * Place in IFLA_INET_CONF (less one) -> file; what is empty cannot be written. Text, not
 * pointers to it, which are larger: each wants a relocation.
 */
#define NAME_SIZE 35

static const char names4[][NAME_SIZE] = {
    [IPV4_DEVCONF_FORWARDING] = "forwarding",
    [IPV4_DEVCONF_PROXY_ARP] = "proxy_arp",
    [IPV4_DEVCONF_ACCEPT_REDIRECTS] = "accept_redirects",
    [IPV4_DEVCONF_SECURE_REDIRECTS] = "secure_redirects",
    [IPV4_DEVCONF_SEND_REDIRECTS] = "send_redirects",
    [IPV4_DEVCONF_SHARED_MEDIA] = "shared_media",
    [IPV4_DEVCONF_RP_FILTER] = "rp_filter",
    [IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE] = "accept_source_route",
    [IPV4_DEVCONF_BOOTP_RELAY] = "bootp_relay",
    [IPV4_DEVCONF_LOG_MARTIANS] = "log_martians",
    [IPV4_DEVCONF_TAG] = "tag",
    [IPV4_DEVCONF_ARPFILTER] = "arp_filter",
    [IPV4_DEVCONF_MEDIUM_ID] = "medium_id",
    [IPV4_DEVCONF_NOXFRM] = "disable_xfrm",
    [IPV4_DEVCONF_NOPOLICY] = "disable_policy",
    [IPV4_DEVCONF_FORCE_IGMP_VERSION] = "force_igmp_version",
    [IPV4_DEVCONF_ARP_ANNOUNCE] = "arp_announce",
    [IPV4_DEVCONF_ARP_IGNORE] = "arp_ignore",
    [IPV4_DEVCONF_PROMOTE_SECONDARIES] = "promote_secondaries",
    [IPV4_DEVCONF_ARP_ACCEPT] = "arp_accept",
    [IPV4_DEVCONF_ARP_NOTIFY] = "arp_notify",
    [IPV4_DEVCONF_ACCEPT_LOCAL] = "accept_local",
    [IPV4_DEVCONF_SRC_VMARK] = "src_valid_mark",
    [IPV4_DEVCONF_PROXY_ARP_PVLAN] = "proxy_arp_pvlan",
    [IPV4_DEVCONF_ROUTE_LOCALNET] = "route_localnet",
    [IPV4_DEVCONF_IGMPV2_UNSOLICITED_REPORT_INTERVAL] = "igmpv2_unsolicited_report_interval",
    [IPV4_DEVCONF_IGMPV3_UNSOLICITED_REPORT_INTERVAL] = "igmpv3_unsolicited_report_interval",
    [IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN] = "ignore_routes_with_linkdown",
    [IPV4_DEVCONF_DROP_UNICAST_IN_L2_MULTICAST] = "drop_unicast_in_l2_multicast",
    [IPV4_DEVCONF_DROP_GRATUITOUS_ARP] = "drop_gratuitous_arp",
    [IPV4_DEVCONF_BC_FORWARDING] = "bc_forwarding",
    [IPV4_DEVCONF_ARP_EVICT_NOCARRIER] = "arp_evict_nocarrier",
};

static const char names6[][NAME_SIZE] = {
    [DEVCONF_FORWARDING] = "forwarding",
    [DEVCONF_HOPLIMIT] = "hop_limit",
    [DEVCONF_MTU6] = "mtu",
    [DEVCONF_ACCEPT_RA] = "accept_ra",
    [DEVCONF_ACCEPT_REDIRECTS] = "accept_redirects",
    [DEVCONF_AUTOCONF] = "autoconf",
    [DEVCONF_DAD_TRANSMITS] = "dad_transmits",
    [DEVCONF_RTR_SOLICITS] = "router_solicitations",
    [DEVCONF_RTR_SOLICIT_INTERVAL] = "router_solicitation_interval",
    [DEVCONF_RTR_SOLICIT_DELAY] = "router_solicitation_delay",
    [DEVCONF_USE_TEMPADDR] = "use_tempaddr",
    [DEVCONF_TEMP_VALID_LFT] = "temp_valid_lft",
    [DEVCONF_TEMP_PREFERED_LFT] = "temp_prefered_lft",
    [DEVCONF_REGEN_MAX_RETRY] = "regen_max_retry",
    [DEVCONF_MAX_DESYNC_FACTOR] = "max_desync_factor",
    [DEVCONF_MAX_ADDRESSES] = "max_addresses",
    [DEVCONF_FORCE_MLD_VERSION] = "force_mld_version",
    [DEVCONF_ACCEPT_RA_DEFRTR] = "accept_ra_defrtr",
    [DEVCONF_ACCEPT_RA_PINFO] = "accept_ra_pinfo",
    [DEVCONF_ACCEPT_RA_RTR_PREF] = "accept_ra_rtr_pref",
    [DEVCONF_RTR_PROBE_INTERVAL] = "router_probe_interval",
    [DEVCONF_ACCEPT_RA_RT_INFO_MAX_PLEN] = "accept_ra_rt_info_max_plen",
    [DEVCONF_PROXY_NDP] = "proxy_ndp",
    [DEVCONF_OPTIMISTIC_DAD] = "optimistic_dad",
    [DEVCONF_ACCEPT_SOURCE_ROUTE] = "accept_source_route",
    [DEVCONF_DISABLE_IPV6] = "disable_ipv6",
    [DEVCONF_ACCEPT_DAD] = "accept_dad",
    [DEVCONF_FORCE_TLLAO] = "force_tllao",
    [DEVCONF_NDISC_NOTIFY] = "ndisc_notify",
    [DEVCONF_MLDV1_UNSOLICITED_REPORT_INTERVAL] = "mldv1_unsolicited_report_interval",
    [DEVCONF_MLDV2_UNSOLICITED_REPORT_INTERVAL] = "mldv2_unsolicited_report_interval",
    [DEVCONF_SUPPRESS_FRAG_NDISC] = "suppress_frag_ndisc",
    [DEVCONF_ACCEPT_RA_FROM_LOCAL] = "accept_ra_from_local",
    [DEVCONF_USE_OPTIMISTIC] = "use_optimistic",
    [DEVCONF_ACCEPT_RA_MTU] = "accept_ra_mtu",
    [DEVCONF_USE_OIF_ADDRS_ONLY] = "use_oif_addrs_only",
    [DEVCONF_ACCEPT_RA_MIN_HOP_LIMIT] = "accept_ra_min_hop_limit",
    [DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN] = "ignore_routes_with_linkdown",
    [DEVCONF_DROP_UNICAST_IN_L2_MULTICAST] = "drop_unicast_in_l2_multicast",
    [DEVCONF_DROP_UNSOLICITED_NA] = "drop_unsolicited_na",
    [DEVCONF_KEEP_ADDR_ON_DOWN] = "keep_addr_on_down",
    [DEVCONF_RTR_SOLICIT_MAX_INTERVAL] = "router_solicitation_max_interval",
    [DEVCONF_SEG6_ENABLED] = "seg6_enabled",
    [DEVCONF_SEG6_REQUIRE_HMAC] = "seg6_require_hmac",
    [DEVCONF_ENHANCED_DAD] = "enhanced_dad",
    [DEVCONF_ADDR_GEN_MODE] = "addr_gen_mode",
    [DEVCONF_DISABLE_POLICY] = "disable_policy",
    [DEVCONF_ACCEPT_RA_RT_INFO_MIN_PLEN] = "accept_ra_rt_info_min_plen",
    [DEVCONF_NDISC_TCLASS] = "ndisc_tclass",
    [DEVCONF_RPL_SEG_ENABLED] = "rpl_seg_enabled",
    [DEVCONF_RA_DEFRTR_METRIC] = "ra_defrtr_metric",
    [DEVCONF_IOAM6_ENABLED] = "ioam6_enabled",
    [DEVCONF_IOAM6_ID] = "ioam6_id",
    [DEVCONF_IOAM6_ID_WIDE] = "ioam6_id_wide",
    [DEVCONF_NDISC_EVICT_NOCARRIER] = "ndisc_evict_nocarrier",
    [DEVCONF_ACCEPT_UNTRACKED_NA] = "accept_untracked_na",
    [DEVCONF_ACCEPT_RA_MIN_LFT] = "accept_ra_min_lft",
    [DEVCONF_ACCEPT_RA_MIN_LFT + 1] = "force_forwarding",
};

/* Directory of /proc/sys/net, files in it: what no link message carries. */
static const char *const neighbour_files[] = {"anycast_delay",
                                              "app_solicit",
                                              "base_reachable_time_ms",
                                              "delay_first_probe_time",
                                              "gc_stale_time",
                                              "locktime",
                                              "interval_probe_time_ms",
                                              "mcast_resolicit",
                                              "mcast_solicit",
                                              "proxy_delay",
                                              "proxy_qlen",
                                              "retrans_time_ms",
                                              "ucast_solicit",
                                              "unres_qlen_bytes",
                                              NULL};
static const char *const young_files[] = {"ra_honor_pio_life", "ra_honor_pio_pflag",
                                          "regen_min_advance", NULL};

static const struct {
    const char *directory;
    const char *const *files;
} extra[] = {
    {"ipv4/neigh", neighbour_files}, {"ipv6/neigh", neighbour_files}, {"ipv6/conf", young_files}};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static void sysctl_path(char out[PATH_SIZE], const char *directory, const char *link,
                        const char *file)
{
    struct text text;

    text_init(&text, out, PATH_SIZE);
    text_put(&text, "/proc/sys/net/");
    text_put(&text, directory);
    text_put_char(&text, '/');
    text_put(&text, link);
    text_put_char(&text, '/');
    text_put(&text, file);
}

/* A setting's value without its newline; -errno, -ENOENT where the kernel has no such file. */
static ssize_t sysctl_read(const char *directory, const char *link, const char *file, char *out,
                           size_t size)
{
    char path[PATH_SIZE];

    sysctl_path(path, directory, link, file);
    int fd = open_file(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    ssize_t length = read(fd, out, size - 1); /* all of it: a setting is a line */
    if (length < 0)
        length = -errno;
    close(fd);
    if (length < 0)
        return length;
    while (length > 0 && out[length - 1] == '\n')
        length--;
    out[length] = '\0';
    return length;
}

static int sysctl_write(const char *directory, const char *link, const char *file,
                        const char *value, struct text *why)
{
    char path[PATH_SIZE];

    sysctl_path(path, directory, link, file);
    int rc = write_in_place(path, value, strlen(value));
    if (rc < 0 && why != NULL && why->length == 0) {
        text_put(why, path);
        text_put_char(why, '=');
        text_put(why, value);
    }
    return rc;
}

int sysctls_capture(const char *link, struct record *out)
{
    char line[256], value[64];
    struct text text;
    int rc = 0;

    list_clear(&out->sysctls);
    for (size_t d = 0; d < LENGTH(extra); d++) {
        for (const char *const *file = extra[d].files; rc == 0 && *file != NULL; file++) {
            if (sysctl_read(extra[d].directory, link, *file, value, sizeof value) < 0)
                continue; /* a kernel without it, or a link without IPv6 */
            text_init(&text, line, sizeof line);
            text_put(&text, extra[d].directory);
            text_put_char(&text, '/');
            text_put(&text, *file);
            text_put_char(&text, '=');
            text_put(&text, value);
            rc = list_add(&out->sysctls, line, text.length);
        }
    }
    /* EIO: not set. */
    if (sysctl_read("ipv6/conf", link, "stable_secret", out->secret, sizeof out->secret) < 0)
        out->secret[0] = '\0';
    return rc;
}

/* The number as its file wants it: some are milliseconds in the message, seconds in the file. */
static void put_value(struct text *out, bool v6, size_t place, int32_t value)
{
    bool seconds =
        v6 && (place == DEVCONF_RTR_SOLICIT_INTERVAL || place == DEVCONF_RTR_SOLICIT_DELAY ||
               place == DEVCONF_RTR_PROBE_INTERVAL || place == DEVCONF_RTR_SOLICIT_MAX_INTERVAL);
    bool wide = v6 && (place == DEVCONF_IOAM6_ID || place == DEVCONF_IOAM6_ID_WIDE ||
                       place == DEVCONF_RA_DEFRTR_METRIC);

    if (value < 0 && !wide) {
        text_put_char(out, '-');
        text_put_unsigned(out, (uint64_t)(-(int64_t)value));
        return;
    }
    uint32_t number = (uint32_t)value;
    text_put_unsigned(out, seconds ? number / 1000 : number);
}

static int restore_conf(const char *link, bool v6, const int32_t *wanted, size_t wanted_count,
                        const int32_t *now, size_t now_count, struct text *why)
{
    const char (*names)[NAME_SIZE] = v6 ? names6 : names4;
    size_t known = v6 ? LENGTH(names6) : LENGTH(names4);
    int first_error = 0;

    for (size_t i = 0; i < wanted_count && i < now_count; i++) {
        size_t place = v6 ? i : i + 1;
        char value[24];
        struct text text;
        if (wanted[i] == now[i] || place >= known || names[place][0] == '\0')
            continue;
        text_init(&text, value, sizeof value);
        put_value(&text, v6, place, wanted[i]);
        int rc = sysctl_write(v6 ? "ipv6/conf" : "ipv4/conf", link, names[place], value, why);
        if (first_error == 0)
            first_error = rc;
    }
    return first_error;
}

int sysctl_set(const char *link, struct span line, bool must, struct text *why)
{
    char directory[32], file[64], value[64], found[64];
    struct span rest = line, key = span_cut(&rest, '=', NULL);
    struct span family = span_cut(&key, '/', NULL), part = span_cut(&key, '/', NULL);
    struct text text;

    text_init(&text, directory, sizeof directory);
    text_put_span(&text, family);
    text_put_char(&text, '/');
    text_put_span(&text, part);
    if (span_copy(key, file, sizeof file) < 0 || span_copy(rest, value, sizeof value) < 0 ||
        text.cut || strchr(file, '/') != NULL || strchr(directory, '.') != NULL)
        return -EINVAL;
    ssize_t rc = sysctl_read(directory, link, file, found, sizeof found);
    if ((rc == -ENOENT && !must) || (rc >= 0 && strcmp(found, value) == 0))
        return 0;
    return sysctl_write(directory, link, file, value, why);
}

static int restore_secret(const struct record *record, const char *link, struct text *why)
{
    char found[SECRET_SIZE];

    if (record->secret[0] == '\0')
        return 0; /* one that the pod set died with the pod's settings */
    if (sysctl_read("ipv6/conf", link, "stable_secret", found, sizeof found) >= 0 &&
        strcmp(found, record->secret) == 0)
        return 0;
    return sysctl_write("ipv6/conf", link, "stable_secret", record->secret, why);
}

static int first_of(int one, int other)
{
    return one < 0 ? one : other;
}

int sysctls_restore(const struct record *record, const struct link *now, struct text *why)
{
    const struct link *was = &record->link;
    int rc = restore_conf(now->name, false, was->conf4, was->conf4_count, now->conf4,
                          now->conf4_count, why);

    return first_of(rc, restore_conf(now->name, true, was->conf6, was->conf6_count, now->conf6,
                                     now->conf6_count, why));
}

int sysctls_restore_files(const struct record *record, const struct link *now, struct text *why)
{
    int rc = restore_secret(record, now->name, why);

    LIST_EACH(line, &record->sysctls)
        rc = first_of(rc, sysctl_set(now->name, (struct span){line.data, line.size}, false, why));
    return rc;
}

bool ipv6_is_disabled(const struct link *link)
{
    return link->conf6_count > DEVCONF_DISABLE_IPV6 && link->conf6[DEVCONF_DISABLE_IPV6] != 0;
}

int ipv6_enable(const char *link)
{
    return sysctl_write("ipv6/conf", link, "disable_ipv6", "0", NULL);
}
