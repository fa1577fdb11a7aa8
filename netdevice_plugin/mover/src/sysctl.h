#ifndef NDM_SYSCTL_H
#define NDM_SYSCTL_H

#include "link.h"
#include "record.h"
#include "text.h"

/*
 * Per-link settings under /proc/sys/net, of the namespace that the caller is in.
 *
 * Most come with the link itself (struct link, conf4 and conf6: one message instead
 * of a hundred files); what does not is read from its file.
 */

/* Reads the settings that a link message does not carry. */
int sysctls_capture(const char *link, struct record *out);

/*
 * Write each setting of the record that differs on the link as it is now: those that
 * its message carries, and those that only files do (first: stable_secret, which
 * switches addr_gen_mode). 0, or the first error, and what it was about in `why`; the
 * others are written all the same.
 */
int sysctls_restore(const struct record *record, const struct link *now, struct text *why);
int sysctls_restore_files(const struct record *record, const struct link *now, struct text *why);

/*
 * Sets "ipv4/conf/rp_filter=2" unless it is so already. A link without that setting has
 * -ENOENT, or nothing to be done where it need not have it.
 */
int sysctl_set(const char *link, struct span line, bool must, struct text *why);

/* Whether IPv6 is switched off on the link, and switching it on. */
bool ipv6_is_disabled(const struct link *link);
int ipv6_enable(const char *link);

#endif
