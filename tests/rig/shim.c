/* What stands between a program and the kernel's SPI and GPIO devices, by LD_PRELOAD.
 *
 * It knows nothing of SPI or GPIO: it asks the rig, in the test process, what each call does.
 *
 * - A device that is open is one SOCK_SEQPACKET connection to the rig. Nothing is kept about it
 *   here: the name of its peer says that it is ours, its SO_COOKIE says which one it is. So it
 *   outlives dup, fork and exec, and closes itself, also when the program is killed.
 * - Questions travel on a connection of their own, one per process; only the question that
 *   makes a device travels on the device's. So all that ever arrives on a device's own is a
 *   byte when there are edges to be read, and poll, select and epoll work on it as they are.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <linux/spi/spidev.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "a 64-bit Linux is needed");

/* As in wire.py. */
enum {
    ASK_OPEN = 1,
    ASK_LINES,
    ASK_STAT,
    ASK_LIST,
    ASK_RESOLVE,
    ASK_IOCTL,
    ASK_MESSAGE,
    ASK_READ,
    ASK_WRITE,
    ASK_FLOCK,
};
enum { IS_DEVICE = 0, IS_FILE = 1 }; /* the results of ASK_OPEN */
enum { MUST_WAIT = 1 };              /* a result of ASK_READ */

struct ask {
    uint32_t what;
    uint32_t has_byte; /* of a read */
    uint64_t object;
    uint64_t argument;
};
struct answer {
    int32_t result;
    uint32_t spare;
};
struct seen {
    uint32_t mode;
    uint32_t major;
    uint32_t minor;
    uint32_t size;
};

enum {
    DATA_MAX = 65536,         /* longer messages are refused without their data */
    PARTS_MAX = 1 + 1 + 511,  /* the question, the transfers and their buffers */
    CONTROL_FD = 200,         /* out of the way of those a program counts on */
    FLOCK_PAUSE_US = 1000,
};

#define REAL(name)                                              \
    ({                                                          \
        static __typeof__(&name) found;                         \
        if (!found)                                             \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        found;                                                  \
    })

static struct sockaddr_un rig = {.sun_family = AF_UNIX};
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static int control = -1;
static uint64_t control_cookie;

static void forget_control(void)
{
    pthread_mutex_init(&one_at_a_time, NULL);
    if (control >= 0)
        close(control);
    control = -1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("UMI_RIG");
    if (path && strlen(path) < sizeof rig.sun_path)
        strcpy(rig.sun_path, path);
    pthread_atfork(NULL, NULL, forget_control);
}

static int begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int is_device_name(const char *name)
{
    return rig.sun_path[0] && (begins(name, "spidev") || begins(name, "gpiochip"));
}

static int is_rig_path(const char *path)
{
    if (!path || !rig.sun_path[0])
        return 0;
    return (begins(path, "/dev/") && is_device_name(path + 5)) ||
           begins(path, "/sys/module/spidev/");
}

static int is_ours(int fd)
{
    struct sockaddr_un peer = {0};
    socklen_t length = sizeof peer;
    int saved = errno;
    int ours = rig.sun_path[0] && getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
               peer.sun_family == AF_UNIX && strcmp(peer.sun_path, rig.sun_path) == 0;
    errno = saved;
    return ours;
}

static uint64_t cookie_of(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0 ? cookie : 0;
}

static int dial(int cloexec)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | (cloexec ? SOCK_CLOEXEC : 0), 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&rig, sizeof rig) < 0) {
        close(fd);
        errno = EIO; /* the rig is gone */
        return -1;
    }
    return fd;
}

static int ready_control(void)
{
    int fd;
    if (control >= 0 && cookie_of(control) == control_cookie)
        return 0;
    if ((fd = dial(1)) < 0)
        return -1;
    control_cookie = cookie_of(fd);
    control = fcntl(fd, F_DUPFD_CLOEXEC, CONTROL_FD);
    close(fd);
    return control < 0 ? -1 : 0;
}

/* Ask on a connection. Returns the rig's result, or -1 with errno; *got says how much came. */
static int ask_on(int fd, struct ask ask, const struct iovec *sent, int sent_count,
                  const struct iovec *room, int room_count, size_t *got)
{
    struct iovec out[PARTS_MAX] = {{&ask, sizeof ask}};
    struct answer answer;
    struct iovec in[PARTS_MAX] = {{&answer, sizeof answer}};
    struct msghdr going = {.msg_iov = out, .msg_iovlen = 1 + sent_count};
    struct msghdr coming = {.msg_iov = in, .msg_iovlen = 1 + room_count};
    ssize_t length;
    if (sent_count)
        memcpy(out + 1, sent, sent_count * sizeof *sent);
    if (room_count)
        memcpy(in + 1, room, room_count * sizeof *room);
    while ((length = sendmsg(fd, &going, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (length >= 0)
        while ((length = recvmsg(fd, &coming, 0)) < 0 && errno == EINTR)
            ;
    if (length < (ssize_t)sizeof answer) {
        errno = EIO;
        return -1;
    }
    if (got)
        *got = length - sizeof answer;
    if (answer.result < 0) {
        errno = -answer.result;
        return -1;
    }
    return answer.result;
}

static int ask(struct ask what, const struct iovec *sent, int sent_count,
               const struct iovec *room, int room_count, size_t *got)
{
    int result = -1;
    pthread_mutex_lock(&one_at_a_time);
    if (ready_control() == 0)
        result = ask_on(control, what, sent, sent_count, room, room_count, got);
    pthread_mutex_unlock(&one_at_a_time);
    return result;
}

static int ask_simply(uint32_t what, int fd, uint64_t argument, const void *sent, size_t length,
                      void *room, size_t room_size, size_t *got)
{
    struct iovec out = {(void *)sent, length}, in = {room, room_size};
    struct ask question = {what, 0, fd < 0 ? 0 : cookie_of(fd), argument};
    return ask(question, &out, sent != NULL, &in, room != NULL, got);
}

/* Opening. */

static int file_of(const char *text, size_t length)
{
    int fd = memfd_create("rig", MFD_CLOEXEC);
    if (fd >= 0 && pwrite(fd, text, length, 0) != (ssize_t)length) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int rig_open(const char *path, int flags)
{
    char text[256];
    struct iovec out = {(void *)path, strlen(path)}, in = {text, sizeof text};
    size_t length = 0;
    int result, saved, fd = dial(flags & O_CLOEXEC);
    if (fd < 0)
        return -1;
    result = ask_on(fd, (struct ask){ASK_OPEN, 0, cookie_of(fd), flags}, &out, 1, &in, 1, &length);
    if (result == IS_DEVICE) {
        if (flags & O_NONBLOCK)
            fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
    }
    saved = errno;
    close(fd);
    errno = saved;
    return result == IS_FILE ? file_of(text, length) : -1;
}

#define MODE_OF(flags, last)                                            \
    ({                                                                  \
        mode_t mode_ = 0;                                               \
        if ((flags) & (O_CREAT | __O_TMPFILE)) {                        \
            va_list rest_;                                              \
            va_start(rest_, last);                                      \
            mode_ = va_arg(rest_, mode_t);                              \
            va_end(rest_);                                              \
        }                                                               \
        mode_;                                                          \
    })

int open(const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags, flags);
    return is_rig_path(path) ? rig_open(path, flags) : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags, flags);
    return is_rig_path(path) ? rig_open(path, flags) : REAL(open64)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags, flags);
    return is_rig_path(path) ? rig_open(path, flags) : REAL(openat)(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...)
{
    mode_t mode = MODE_OF(flags, flags);
    return is_rig_path(path) ? rig_open(path, flags) : REAL(openat64)(dir, path, flags, mode);
}

/* What a program that was compiled with _FORTIFY_SOURCE calls. */
int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int __open64_2(const char *path, int flags)
{
    return open64(path, flags);
}

static FILE *rig_fopen(const char *path, const char *mode)
{
    int fd = rig_open(path, O_CLOEXEC | (strcmp(mode, "r") == 0 ? O_RDONLY : O_RDWR));
    return fd < 0 ? NULL : fdopen(fd, mode);
}

/* libc opens by a way of its own here, not by open. */
FILE *fopen(const char *path, const char *mode)
{
    return is_rig_path(path) ? rig_fopen(path, mode) : REAL(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return is_rig_path(path) ? rig_fopen(path, mode) : REAL(fopen64)(path, mode);
}

/* Looking. */

static int rig_stat(const char *path, int fd, struct stat *out)
{
    struct seen seen;
    if (ask_simply(ASK_STAT, fd, 0, path, path ? strlen(path) : 0, &seen, sizeof seen, NULL) < 0)
        return -1;
    memset(out, 0, sizeof *out);
    out->st_mode = seen.mode;
    out->st_nlink = 1;
    out->st_size = seen.size;
    out->st_blksize = 4096;
    out->st_rdev = makedev(seen.major, seen.minor);
    out->st_ino = out->st_rdev + 1;
    return 0;
}

static int any_stat(int dir, const char *path, void *out, int flags)
{
    if (is_rig_path(path))
        return rig_stat(path, -1, out);
    if (path && !*path && (flags & AT_EMPTY_PATH) && is_ours(dir) && rig_stat(NULL, dir, out) == 0)
        return 0;
    return syscall(SYS_newfstatat, dir, path, out, flags);
}

#define STATS(name, buffer)                                                             \
    int name(const char *path, buffer *out) { return any_stat(AT_FDCWD, path, out, 0); } \
    int l##name(const char *path, buffer *out)                                          \
    {                                                                                   \
        return any_stat(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);                      \
    }                                                                                   \
    int f##name(int fd, buffer *out) { return any_stat(fd, "", out, AT_EMPTY_PATH); }

STATS(stat, struct stat)
STATS(stat64, struct stat64)

int fstatat(int dir, const char *path, struct stat *out, int flags)
{
    return any_stat(dir, path, out, flags);
}

int fstatat64(int dir, const char *path, struct stat64 *out, int flags)
{
    return any_stat(dir, path, out, flags);
}

/* Before glibc 2.33 there was no symbol stat; wheels are built against such. */
#define OLD_STATS(suffix)                                                               \
    int __xstat##suffix(int version, const char *path, struct stat *out)                \
    {                                                                                   \
        (void)version;                                                                  \
        return any_stat(AT_FDCWD, path, out, 0);                                        \
    }                                                                                   \
    int __lxstat##suffix(int version, const char *path, struct stat *out)               \
    {                                                                                   \
        (void)version;                                                                  \
        return any_stat(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);                      \
    }                                                                                   \
    int __fxstat##suffix(int version, int fd, struct stat *out)                         \
    {                                                                                   \
        (void)version;                                                                  \
        return any_stat(fd, "", out, AT_EMPTY_PATH);                                    \
    }                                                                                   \
    int __fxstatat##suffix(int version, int dir, const char *path, struct stat *out, int flags) \
    {                                                                                   \
        (void)version;                                                                  \
        return any_stat(dir, path, out, flags);                                         \
    }

OLD_STATS()
OLD_STATS(64)

static int rig_access(const char *path, int mode)
{
    struct stat seen;
    if (rig_stat(path, -1, &seen) < 0)
        return -1;
    if (((mode & R_OK) && !(seen.st_mode & 0444)) || ((mode & W_OK) && !(seen.st_mode & 0222)) ||
        (mode & X_OK)) {
        errno = EACCES;
        return -1;
    }
    return 0;
}

int access(const char *path, int mode)
{
    return is_rig_path(path) ? rig_access(path, mode) : REAL(access)(path, mode);
}

int faccessat(int dir, const char *path, int mode, int flags)
{
    return is_rig_path(path) ? rig_access(path, mode) : REAL(faccessat)(dir, path, mode, flags);
}

char *realpath(const char *path, char *resolved)
{
    char name[PATH_MAX];
    size_t length = 0;
    if (is_rig_path(path) || (path && rig.sun_path[0] && begins(path, "/sys/dev/char/"))) {
        if (ask_simply(ASK_RESOLVE, -1, 0, path, strlen(path), name, sizeof name - 1, &length) == 0) {
            name[length] = 0;
            return resolved ? strcpy(resolved, name) : strdup(name);
        }
        if (errno != ENXIO) /* a number that is none of the rig's */
            return NULL;
    }
    return REAL(realpath)(path, resolved);
}

char *__realpath_chk(const char *path, char *resolved, size_t size)
{
    (void)size;
    return realpath(path, resolved);
}

/* Listing /dev: the host's own SPI and GPIO devices are hidden, the rig's are shown. */

struct listing {
    DIR *dir;
    size_t at;
    size_t length;
    struct dirent64 entry;
    struct listing *next;
    char names[8192];
};
static struct listing *listings;
static pthread_mutex_t listings_lock = PTHREAD_MUTEX_INITIALIZER;

static DIR *listed(DIR *dir)
{
    struct stat own, dev;
    struct listing *made;
    if (!dir || !rig.sun_path[0] || any_stat(dirfd(dir), "", &own, AT_EMPTY_PATH) < 0 ||
        any_stat(AT_FDCWD, "/dev", &dev, 0) < 0 || own.st_ino != dev.st_ino ||
        own.st_dev != dev.st_dev || !(made = calloc(1, sizeof *made)))
        return dir;
    made->dir = dir;
    ask_simply(ASK_LIST, -1, 0, NULL, 0, made->names, sizeof made->names - 1, &made->length);
    pthread_mutex_lock(&listings_lock);
    made->next = listings;
    listings = made;
    pthread_mutex_unlock(&listings_lock);
    return dir;
}

static struct listing *listing_of(DIR *dir)
{
    struct listing *one;
    pthread_mutex_lock(&listings_lock);
    for (one = listings; one && one->dir != dir; one = one->next)
        ;
    pthread_mutex_unlock(&listings_lock);
    return one;
}

DIR *opendir(const char *path)
{
    return listed(REAL(opendir)(path));
}

DIR *fdopendir(int fd)
{
    return listed(REAL(fdopendir)(fd));
}

struct dirent64 *readdir64(DIR *dir)
{
    struct listing *listing = listing_of(dir);
    struct dirent64 *entry;
    const char *name;
    while ((entry = REAL(readdir64)(dir)) && listing && is_device_name(entry->d_name))
        ;
    if (entry || !listing || listing->at >= listing->length)
        return entry;
    name = listing->names + listing->at;
    listing->at += strlen(name) + 1;
    listing->entry.d_ino = listing->at + 1;
    listing->entry.d_type = DT_CHR;
    listing->entry.d_reclen = sizeof listing->entry;
    snprintf(listing->entry.d_name, sizeof listing->entry.d_name, "%s", name);
    return &listing->entry;
}

struct dirent *readdir(DIR *dir)
{
    return (struct dirent *)readdir64(dir);
}

void rewinddir(DIR *dir)
{
    struct listing *listing = listing_of(dir);
    if (listing)
        listing->at = 0;
    REAL(rewinddir)(dir);
}

int closedir(DIR *dir)
{
    struct listing **at, *gone = NULL;
    pthread_mutex_lock(&listings_lock);
    for (at = &listings; *at && (*at)->dir != dir; at = &(*at)->next)
        ;
    if ((gone = *at))
        *at = gone->next;
    pthread_mutex_unlock(&listings_lock);
    free(gone);
    return REAL(closedir)(dir);
}

/* Using. */

static int rig_lines(int chip, struct gpio_v2_line_request *request)
{
    struct iovec both = {request, sizeof *request};
    int saved, fd = dial(1);
    if (fd < 0)
        return -1;
    if (ask_on(fd, (struct ask){ASK_LINES, 0, cookie_of(fd), cookie_of(chip)}, &both, 1, &both, 1,
               NULL) < 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    request->fd = fd;
    return 0;
}

static int rig_message(int fd, unsigned size, struct spi_ioc_transfer *transfers)
{
    struct iovec sent[PARTS_MAX - 1] = {{transfers, size}}, room[PARTS_MAX - 1];
    int sent_count = 1, room_count = 0;
    size_t length = 0;
    for (unsigned i = 0; i < size / sizeof *transfers; i++) {
        struct spi_ioc_transfer *one = transfers + i;
        if (one->tx_buf) {
            sent[sent_count++] = (struct iovec){(void *)(uintptr_t)one->tx_buf, one->len};
            length += one->len;
        }
        if (one->rx_buf)
            room[room_count++] = (struct iovec){(void *)(uintptr_t)one->rx_buf, one->len};
    }
    if (length > DATA_MAX)
        sent_count = 1;
    return ask((struct ask){ASK_MESSAGE, 0, cookie_of(fd), size}, sent, sent_count, room, room_count,
               NULL);
}

int ioctl(int fd, unsigned long request, ...)
{
    unsigned type = _IOC_TYPE(request), size = _IOC_SIZE(request);
    va_list rest;
    void *data;
    va_start(rest, request);
    data = va_arg(rest, void *);
    va_end(rest);
    if ((type != SPI_IOC_MAGIC && type != _IOC_TYPE(GPIO_V2_GET_LINE_IOCTL)) || !is_ours(fd))
        return REAL(ioctl)(fd, request, data);
    request &= UINT32_MAX;
    if (request == GPIO_V2_GET_LINE_IOCTL)
        return rig_lines(fd, data);
    if (type == SPI_IOC_MAGIC && _IOC_NR(request) == 0)
        return rig_message(fd, size, data);
    return ask_simply(ASK_IOCTL, fd, request, _IOC_DIR(request) & _IOC_WRITE ? data : NULL, size,
                      _IOC_DIR(request) & _IOC_READ ? data : NULL, size, NULL);
}

/* SPI clocks at once. Of lines, the byte that says that there are edges is taken first. */
ssize_t read(int fd, void *data, size_t size)
{
    struct iovec room = {data, size};
    struct ask question = {ASK_READ, 0, 0, size};
    size_t length;
    char byte;
    int waits;
    if (!is_ours(fd))
        return REAL(read)(fd, data, size);
    question.object = cookie_of(fd);
    while ((waits = ask(question, NULL, 0, &room, 1, &length)) == MUST_WAIT) {
        if (recv(fd, &byte, 1, 0) < 0)
            return -1;
        question.has_byte = 1;
    }
    return waits < 0 ? -1 : (ssize_t)length;
}

ssize_t __read_chk(int fd, void *data, size_t size, size_t room)
{
    (void)room;
    return read(fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (!is_ours(fd))
        return REAL(write)(fd, data, size);
    return ask_simply(ASK_WRITE, fd, size, data, size > DATA_MAX ? 0 : size, NULL, 0, NULL);
}

/* Each connection is an inode of its own, so the rig keeps the locks. */
int flock(int fd, int operation)
{
    if (!is_ours(fd))
        return REAL(flock)(fd, operation);
    while (ask_simply(ASK_FLOCK, fd, operation & ~LOCK_NB, NULL, 0, NULL, 0, NULL) < 0) {
        if (errno != EWOULDBLOCK || (operation & LOCK_NB))
            return -1;
        usleep(FLOCK_PAUSE_US);
    }
    return 0;
}
