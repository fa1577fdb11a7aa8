#ifndef NDM_ETHTOOL_H
#define NDM_ETHTOOL_H

#include "list.h"
#include "settings.h"

/*
 * Features, rings and channels of a link: what its driver can be set to, in whatever
 * namespace it is. Sysctls among the settings are passed over.
 */
struct ethtool {
    int fd; /* a socket, of any family, of the link's namespace */
    const char *link;
    const struct setting *settings;
    size_t count;
    struct text *why; /* which setting an error is about */
};

/*
 * Adds to `out`, as setting_put_line() does, what each setting is now. Of a feature that
 * is what is wanted of it: it may be off for lack of another one. One that the driver
 * never changes is left out if it is as asked for. -EINVAL, -EOPNOTSUPP: it will never be.
 */
int ethtool_capture(const struct ethtool *e, struct list *out);

/*
 * Sets those of a group; -EINVAL, -EOPNOTSUPP: the kernel made something else of one.
 * `home`: they are what ethtool_capture() found, and so a feature is only to be wanted.
 */
int ethtool_set(const struct ethtool *e, enum setting_group group, bool home);

#endif
