/* What goes with a virtual function that is lent: settings that its PF has, and its MAC. */

#include "vf.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "vfinfo.h"

#define SUBJECT_SIZE 160

/* ---- lending ---- */

/*
 * PFs show the MAC that a VF chose as if they had set it. Set by them is one that the VF
 * has not, or has had since its driver was bound.
 */
static bool is_own_mac(const struct link *link, const struct mac *shown)
{
    char path[128], type[8];
    struct text text;

    text_init(&text, path, sizeof path);
    text_put(&text, "/sys/class/net/");
    text_put(&text, link->name);
    text_put(&text, "/addr_assign_type");
    return mac_equal(&link->mac, shown) &&
           !(read_file(path, type, sizeof type) > 0 && type[0] == '0'); /* NET_ADDR_PERM */
}

static struct vf lent;

int vf_prepare(struct mover *mover)
{
    const struct vf_arg *wanted = &mover->options->vf;
    struct record *record = &mover->record;
    char subject[SUBJECT_SIZE];
    struct text why, text;

    if (wanted->given == 0)
        return 0;
    text_init(&why, subject, sizeof subject);
    int rc = vf_find(&mover->host, record->link.pci, &lent, &why);
    if (rc < 0)
        return fail_about(mover, rc, "look at the VF's settings", &why);
    for (unsigned key = VF_MAC + 1; key < VF_KEYS; key++) {
        if (!(wanted->given >> key & 1) || lent.now.values[key] != VF_UNTOLD)
            continue;
        vf_put(&why, wanted, (enum vf_key)key);
        text_put(&why, ", which its driver does not have");
        return fail_about(mover, -EOPNOTSUPP, "look at the VF's settings", &why);
    }
    struct vf_arg was = lent.now;
    was.given = wanted->given;
    if (is_own_mac(&record->link, &was.mac))
        memset(was.mac.bytes, 0, sizeof was.mac.bytes);
    text_init(&text, record->vf, sizeof record->vf);
    vf_format(&text, &was);
    return 0;
}

int vf_set(struct mover *mover)
{
    char subject[SUBJECT_SIZE];
    struct text why;

    text_init(&why, subject, sizeof subject);
    int rc = vf_make(&mover->host, &lent, &mover->options->vf, &why);
    if (rc == 0)
        return 0;
    fail_about(mover, rc, "change the VF's settings", &why);
    text_put(&mover->error, mover->host.why[0] != '\0' ? ": " : "");
    text_put(&mover->error, mover->host.why);
    return rc;
}

/*
 * Gives the link, which is down then, a MAC that its PF has set for it, or leaves to it.
 * `fresh`: its driver is to tell the PF, also if the link has it. Reads the link.
 */
static int take_mac(struct nl *nl, struct link *link, const struct mac *mac, bool fresh)
{
    const int ifindex = link->ifindex; /* in case that it cannot be read again */
    const struct timespec pause = {.tv_nsec = 50000000};
    int rc = 0;

    for (int attempt = 0; attempt < 20; attempt++) {
        if (attempt > 1) /* iavf is reset by its PF when it gets to it */
            nanosleep(&pause, NULL);
        if (rc < 0) { /* igbvf looks for it when the link is set down */
            link_set_flags(nl, ifindex, IFF_UP, IFF_UP);
            link_set_flags(nl, ifindex, 0, IFF_UP);
        }
        int read = link_get(nl, ifindex, NULL, link);
        bool there = read == 0 && mac_equal(&link->mac, mac);
        if (read < 0 || (there && !fresh))
            return read;
        fresh = false;
        rc = -EAGAIN;
        if (there)
            continue;
        link_set_flags(nl, ifindex, 0, IFF_UP);
        rc = link_set_mac(nl, ifindex, mac);
    }
    return rc < 0 ? rc : -EADDRNOTAVAIL;
}

int vf_take_mac(struct mover *mover, struct pod *pod, struct link *link)
{
    const struct vf_arg *wanted = &mover->options->vf;
    int rc = 0;

    if (wanted->given & 1U << VF_MAC)
        rc = take_mac(&pod->nl, link, &wanted->mac, false);
    return rc < 0 ? fail_netlink(mover, rc, "give the VF its MAC in the pod", &pod->nl) : 0;
}

/* ---- home again ---- */

void vf_restore(struct mover *mover, vf_report report, void *arg)
{
    char subject[SUBJECT_SIZE];
    struct vf_arg was, one;
    struct text why;

    vf_parse(mover->record.vf, &was);
    if (was.given == 0)
        return;
    text_init(&why, subject, sizeof subject);
    int rc = vf_find(&mover->host, mover->record.link.pci, &lent, &why);
    if (rc < 0)
        report(arg, rc, subject);
    if (rc < 0 || vf_make(&mover->host, &lent, &was, &why) == 0)
        return;
    /* Each alone, so that one that cannot be restored keeps back no other. */
    one = was;
    for (unsigned key = 0; key < VF_KEYS; key++) {
        one.given = was.given & 1U << key;
        text_init(&why, subject, sizeof subject);
        report(arg, vf_make(&mover->host, &lent, &one, &why), subject);
    }
}

int vf_take_own_mac(struct mover *mover, struct link *link)
{
    const struct mac *own = &mover->record.link.mac;
    struct vf_arg was;

    vf_parse(mover->record.vf, &was);
    return was.given & 1U << VF_MAC
               ? take_mac(&mover->host, link, own, !mac_equal(&lent.now.mac, own))
               : 0;
}
