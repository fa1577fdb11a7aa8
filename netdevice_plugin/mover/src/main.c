/* netdevice-mover: arguments, standard input, exit codes. See docs/reference/mover.md. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "mover.h"
#include "netns.h"

#ifndef NDM_VERSION
#define NDM_VERSION "unknown"
#endif

/* What a mover needs with one device is milliseconds; a runtime kills hooks after 30 s or so. */
#define LOCK_SECONDS 20
#define COUNT_SECONDS 1 /* as long as a failure waits to be counted */

static void say(int fd, const struct text *text)
{
    size_t done = 0;

    while (done < text->length) {
        ssize_t put = write(fd, text->data + done, text->length - done);
        if (put <= 0 && errno != EINTR)
            return;
        done += put > 0 ? (size_t)put : 0;
    }
}

/* netdevice-mover: DEVICE: STEP: REASON */
static void report(const struct mover *mover)
{
    char line[RECORD_ERROR_SIZE + 128], path[PATH_SIZE];
    struct text text;

    text_init(&text, line, sizeof line);
    text_put(&text, "netdevice-mover: ");
    if (mover->options->device[0] != '\0') {
        text_put(&text, mover->options->device);
        text_put(&text, ": ");
    }
    text_put_span(&text, (struct span){mover->error.data, mover->error.length});
    text_put_char(&text, '\n');
    say(STDERR_FILENO, &text);
    if (mover->options->device[0] == '\0')
        return;
    text_init(&text, line, sizeof line);
    text_put_unsigned(&text, clock_read(CLOCK_REALTIME, 1));
    text_put_char(&text, ' ');
    text_put_span(&text, (struct span){mover->error.data, mover->error.length});
    text_put_char(&text, '\n');
    path_join(path, mover->options->run_dir, "errors", mover->options->device);
    replace_file(path, text.data, text.length);
}

/* An error stands until the device is lent, or home, without one. */
void forget_error(const struct mover *mover)
{
    char path[PATH_SIZE];

    path_join(path, mover->options->run_dir, "errors", mover->options->device);
    remove_replaced(path);
}

int fail(struct mover *mover, int rc, const char *step_text, const char *reason)
{
    struct text *error = &mover->error;

    if (error->length > 0)
        return rc;
    if (mover->step[0] == '\0') {
        struct text step_copy;
        text_init(&step_copy, mover->step, sizeof mover->step);
        text_put(&step_copy, step_text);
    }
    text_put(error, step_text);
    text_put(error, ": ");
    text_put(error, reason != NULL ? reason : strerror(-rc));
    return rc;
}

int fail_netlink(struct mover *mover, int rc, const char *step_text, const struct nl *nl)
{
    bool first = mover->error.length == 0;

    fail(mover, rc, step_text, NULL);
    if (first && nl->why[0] != '\0') {
        text_put(&mover->error, ": ");
        text_put(&mover->error, nl->why);
    }
    return rc;
}

int fail_about(struct mover *mover, int rc, const char *step_text, const struct text *subject)
{
    char reason[RECORD_ERROR_SIZE];
    struct text text;

    text_init(&text, reason, sizeof reason);
    text_put(&text, subject->data);
    text_put(&text, subject->length > 0 ? ": " : "");
    text_put(&text, strerror(-rc));
    return fail(mover, rc, step_text, reason);
}

void forgive(struct mover *mover)
{
    text_init(&mover->error, mover->error_text, sizeof mover->error_text);
    mover->step[0] = '\0';
}

static void expired(int signal_number)
{
    (void)signal_number;
}

static int wait_for_lock(int fd, unsigned seconds)
{
    /* No SA_RESTART: flock is to be interrupted. */
    const struct sigaction action = {.sa_handler = expired};

    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
    int rc = flock(fd, LOCK_EX) < 0 ? -errno : 0;
    alarm(0);
    return rc;
}

static int open_lock(const struct mover *mover)
{
    char path[PATH_SIZE];

    path_join(path, mover->options->run_dir, "locks", mover->options->device);
    return open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644);
}

int lock_device(struct mover *mover)
{
    int fd = open_lock(mover);

    if (fd < 0)
        return fail(mover, fd, "open the device's lock", NULL);
    int rc = wait_for_lock(fd, LOCK_SECONDS);
    if (rc == 0)
        mover->lock = fd;
    else
        close(fd);
    if (rc == -EINTR)
        return fail(mover, -ETIMEDOUT, "take the device's lock",
                    "another netdevice-mover has worked on this device for 20 s");
    return rc < 0 ? fail(mover, rc, "take the device's lock", NULL) : 0;
}

void unlock_device(struct mover *mover)
{
    close(mover->lock);
    mover->lock = -1;
}

int read_record(struct mover *mover)
{
    char reason[160];
    struct text text;
    size_t line;

    int rc = record_read(mover->options->run_dir, mover->options->device, &mover->record, &line);
    if (rc == -ENOENT) {
        record_remove(mover->options->run_dir, mover->options->device); /* of a first write */
        record_init(&mover->record);
        return 0;
    }
    /* The pin lies beside its record, whatever path leads here. */
    if (rc == 0)
        path_join(mover->record.pin, mover->options->run_dir, "netns", mover->options->device);
    if (rc != -EINVAL)
        return rc < 0 ? fail(mover, rc, "read the record", NULL) : 0;
    text_init(&text, reason, sizeof reason);
    text_put(&text, "line ");
    text_put_unsigned(&text, line);
    text_put(&text, " of its file under attachments/ is not as it should be; see where the link is "
                    "and remove the file");
    return fail(mover, rc, "read the record", reason);
}

int write_record(struct mover *mover)
{
    int rc = record_write(mover->options->run_dir, &mover->record);

    if (rc == -ENOBUFS)
        return fail(mover, rc, "write the record",
                    "the link has more addresses, routes or neighbours than a record can hold");
    return rc < 0 ? fail(mover, rc, "write the record", NULL) : 0;
}

/* The OCI state; 0 or an exit code. */
static int read_state(struct mover *mover)
{
    static char input[OCI_STATE_MAX + 1];
    struct parse_error error = {0};
    char reason[160];
    struct text text;
    size_t size = 0;
    ssize_t got;

    do {
        got = read(STDIN_FILENO, input + size, sizeof input - size);
        size += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && size < sizeof input) || (got < 0 && errno == EINTR));
    if (got < 0)
        fail(mover, -errno, "read the OCI state from standard input", NULL);
    else if (oci_state_parse(input, size, &mover->state, &error) < 0) {
        text_init(&text, reason, sizeof reason);
        text_put(&text, "byte ");
        text_put_unsigned(&text, error.offset);
        text_put(&text, " of standard input: ");
        text_put(&text, error.what);
        fail(mover, -EINVAL, "read the OCI state", reason);
    } else
        return EXIT_DONE;
    return EXIT_USAGE;
}

static int enter_run_directory(struct mover *mover)
{
    static const char *const parts[] = {"attachments", "netns", "locks", "errors"};
    char path[PATH_SIZE];

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        path_join(path, mover->options->run_dir, parts[i], "");
        int rc = make_directories(path);
        if (rc < 0)
            return fail(mover, rc, path, NULL);
    }
    mover->on_host = mounts_of_host(mover->options->run_dir);
    mover->pidns = pidns_own();
    mover->entered = true;
    return 0;
}

static int open_host(struct mover *mover)
{
    mover->own = netns_own();
    if (mover->own < 0)
        return fail(mover, mover->own, "open our own network namespace", NULL);
    int rc = nl_open(&mover->host, NETLINK_ROUTE);
    return rc < 0 ? fail(mover, rc, "open a netlink socket", NULL) : 0;
}

static int run(struct mover *mover)
{
    enum command command = mover->options->command;
    int code = EXIT_DONE;

    if (command != COMMAND_RECLAIM)
        code = read_state(mover);
    if (code != EXIT_DONE)
        return code;
    if (enter_run_directory(mover) < 0 || open_host(mover) < 0)
        return command == COMMAND_DETACH ? EXIT_DONE : EXIT_FAILED;
    switch (command) {
    case COMMAND_ATTACH:
        return attach(mover);
    case COMMAND_DETACH:
        return detach(mover);
    default:
        return reclaim(mover);
    }
}

static uint64_t microseconds(void)
{
    return clock_read(CLOCK_MONOTONIC, 1000000);
}

/*
 * Enters this run into the device's counters. What cannot be counted is not, without a
 * word: no loan fails for it. One that failed before it had the lock takes it for this.
 */
static void count(struct mover *mover, uint64_t took)
{
    static const enum counted counted[] = {[COMMAND_ATTACH] = COUNTED_ATTACH,
                                           [COMMAND_DETACH] = COUNTED_DETACH,
                                           [COMMAND_RECLAIM] = COUNTED_RECLAIM};
    const struct run run = {
        .command = counted[mover->options->command],
        .outcome = mover->error.length > 0 ? OUTCOME_FAILED
                   : mover->moved          ? OUTCOME_MOVED
                                           : OUTCOME_IDLE,
        .microseconds = took,
        .step = mover->step,
    };

    if (mover->lock < 0) {
        int fd = open_lock(mover);
        if (fd < 0 || wait_for_lock(fd, COUNT_SECONDS) < 0)
            return; /* which closes it */
    }
    counters_update(mover->options->run_dir, mover->options->device, &run);
}

/* A hook may be started with any of them closed: then a file of ours would get the number. */
static void fill_standard_descriptors(void)
{
    int fd = 0;

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open_file("/dev/null", O_RDWR, 0);
    if (fd >= 0)
        close(fd);
}

static int print(const char *words)
{
    const struct text text = {.data = (char *)words, .length = strlen(words)};

    say(STDOUT_FILENO, &text);
    return EXIT_DONE;
}

static void start(struct mover *mover, struct options *options)
{
    fill_standard_descriptors();
    umask(022);
    options->device = "";
    mover->options = options;
    mover->host.fd = -1;
    mover->lock = -1;
    forgive(mover);
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct mover mover; /* with an initial value all of it, 38 KB, would be in the file */
    uint64_t started = microseconds();
    char why[256];

    start(&mover, &options);
    if (getauxval(AT_SECURE) != 0) {
        fail(&mover, -EPERM, "start",
             "it must not be set-user-ID, set-group-ID or have file "
             "capabilities: its arguments are trusted");
        report(&mover);
        return EXIT_USAGE;
    }
    if (options_parse(argc, argv, &options, why, sizeof why) < 0) {
        options.device = "";
        fail(&mover, -EINVAL, why, "see netdevice-mover --help");
        report(&mover);
        return EXIT_USAGE;
    }
    if (options.command == COMMAND_HELP)
        return print(options_help);
    if (options.command == COMMAND_VERSION)
        return print("netdevice-mover " NDM_VERSION "\n");
    int code = run(&mover);
    uint64_t took = microseconds() - started;
    if (mover.error.length > 0)
        report(&mover);
    if (mover.entered)
        count(&mover, took);
    return code;
}
