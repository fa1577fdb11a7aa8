/* Per-link settings: read with the link, written through /proc/sys/net. */

#include "sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

#define FILE_SIZE 64 /* of a setting's name */

/*
 * Files in the order of IFLA_INET_CONF, from IPV4_DEVCONF_FORWARDING, and IFLA_INET6_CONF,
 * from DEVCONF_FORWARDING; what has a dash cannot be written. One text: a table of them
 * is twice as large, and one of pointers three times.
 */
static const char names4[] =
    "forwarding - proxy_arp accept_redirects secure_redirects send_redirects shared_media "
    "rp_filter accept_source_route bootp_relay log_martians tag arp_filter medium_id disable_xfrm "
    "disable_policy force_igmp_version arp_announce arp_ignore promote_secondaries arp_accept "
    "arp_notify accept_local src_valid_mark proxy_arp_pvlan route_localnet "
    "igmpv2_unsolicited_report_interval igmpv3_unsolicited_report_interval "
    "ignore_routes_with_linkdown drop_unicast_in_l2_multicast drop_gratuitous_arp bc_forwarding "
    "arp_evict_nocarrier";

static const char names6[] =
    "forwarding hop_limit mtu accept_ra accept_redirects autoconf dad_transmits "
    "router_solicitations router_solicitation_interval router_solicitation_delay use_tempaddr "
    "temp_valid_lft temp_prefered_lft regen_max_retry max_desync_factor max_addresses "
    "force_mld_version accept_ra_defrtr accept_ra_pinfo accept_ra_rtr_pref router_probe_interval "
    "accept_ra_rt_info_max_plen proxy_ndp optimistic_dad accept_source_route - disable_ipv6 "
    "accept_dad force_tllao ndisc_notify mldv1_unsolicited_report_interval "
    "mldv2_unsolicited_report_interval suppress_frag_ndisc accept_ra_from_local use_optimistic "
    "accept_ra_mtu - use_oif_addrs_only accept_ra_min_hop_limit ignore_routes_with_linkdown "
    "drop_unicast_in_l2_multicast drop_unsolicited_na keep_addr_on_down "
    "router_solicitation_max_interval seg6_enabled seg6_require_hmac enhanced_dad addr_gen_mode "
    "disable_policy accept_ra_rt_info_min_plen ndisc_tclass rpl_seg_enabled ra_defrtr_metric "
    "ioam6_enabled ioam6_id ioam6_id_wide ndisc_evict_nocarrier accept_untracked_na "
    "accept_ra_min_lft force_forwarding";

/* What no link message carries. */
static const char neighbour_files[] =
    "anycast_delay app_solicit base_reachable_time_ms delay_first_probe_time gc_stale_time "
    "locktime interval_probe_time_ms mcast_resolicit mcast_solicit proxy_delay proxy_qlen "
    "retrans_time_ms ucast_solicit unres_qlen_bytes";
static const char young_files[] = "ra_honor_pio_life ra_honor_pio_pflag regen_min_advance";

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

static int capture_files(const char *link, const char *directory, const char *files,
                         struct list *out)
{
    char line[256], value[64], file[FILE_SIZE];
    struct span rest = span_of(files);
    struct text text;
    int rc = 0;

    while (rc == 0 && rest.length > 0) {
        span_copy(span_cut(&rest, ' ', NULL), file, sizeof file);
        if (sysctl_read(directory, link, file, value, sizeof value) < 0)
            continue; /* a kernel without it, or a link without IPv6 */
        text_init(&text, line, sizeof line);
        text_put(&text, directory);
        text_put_char(&text, '/');
        text_put(&text, file);
        text_put_char(&text, '=');
        text_put(&text, value);
        rc = list_add(out, line, text.length);
    }
    return rc;
}

int sysctls_capture(const char *link, struct record *out)
{
    list_clear(&out->sysctls);
    int rc = capture_files(link, "ipv4/neigh", neighbour_files, &out->sysctls);
    if (rc == 0)
        rc = capture_files(link, "ipv6/neigh", neighbour_files, &out->sysctls);
    if (rc == 0)
        rc = capture_files(link, "ipv6/conf", young_files, &out->sysctls);
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

static int first_of(int one, int other)
{
    return one < 0 ? one : other;
}

static int restore_conf(const char *link, bool v6, const int32_t *wanted, size_t wanted_count,
                        const int32_t *now, size_t now_count, struct text *why)
{
    struct span names = span_of(v6 ? names6 : names4);
    int rc = 0;

    for (size_t i = 0; i < wanted_count && i < now_count; i++) {
        struct span name = span_cut(&names, ' ', NULL);
        char value[24], file[FILE_SIZE];
        struct text text;
        if (wanted[i] == now[i] || name.length < 2)
            continue;
        text_init(&text, value, sizeof value);
        put_value(&text, v6, i, wanted[i]);
        span_copy(name, file, sizeof file);
        rc = first_of(rc, sysctl_write(v6 ? "ipv6/conf" : "ipv4/conf", link, file, value, why));
    }
    return rc;
}

static bool has(struct span span, char byte)
{
    return memchr(span.data, byte, span.length) != NULL;
}

int sysctl_set(const char *link, struct span line, bool must, struct text *why)
{
    char directory[32], file[FILE_SIZE], value[64], found[64];
    struct span rest = line, key = span_cut(&rest, '=', NULL);
    struct span family = span_cut(&key, '/', NULL), part = span_cut(&key, '/', NULL);
    struct text text;

    text_init(&text, directory, sizeof directory);
    text_put_span(&text, family);
    text_put_char(&text, '/');
    text_put_span(&text, part);
    if (span_copy(key, file, sizeof file) < 0 || span_copy(rest, value, sizeof value) < 0 ||
        text.cut || has(key, '/') || has(family, '.') || has(part, '.'))
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
