/* The guest's only program: runs the commands of a file, reports, ends.
 *
 * Each line of /commands is a command and its arguments, parted by one space;
 * what each does stands beside its name in the table at the end. The line
 * comes back in the kernel's log, with its result:
 *
 *     klink: load /m/ld/xfs.ko rc=0 ns=163924000
 *
 * rc is 0 or minus the errno; ns is guest time around the system call alone
 * (around the whole command where that is many calls). Reports go through
 * /dev/kmsg, so that they and the kernel's own messages are one sequence of
 * whole lines.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGS 8
#define FILE_BLOCKS 64 /* size of a test file, in blocks of sizeof block */

static int log_fd = -1;
static int loop_fd = -1;
static uint64_t elapsed; /* of the last timed call, in ns */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One line into the kernel's log (a record holds somewhat under 1,000 bytes). */
static void report(const char *text)
{
    char line[900];
    int n = snprintf(line, sizeof line, "<6>klink: %s\n", text);
    if (n >= (int)sizeof line)
        n = sizeof line - 1;
    if (write(log_fd, line, (size_t)n) < 0)
        _exit(1);
}

static int result(long value)
{
    return value < 0 ? -errno : 0;
}

static int do_load(char **arg)
{
    int fd = open(arg[0], O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    uint64_t start = now();
    int rc = result(syscall(SYS_finit_module, fd, arg[1] ? arg[1] : "", 0));
    elapsed = now() - start;
    close(fd);
    return rc;
}

static int do_unload(char **arg)
{
    uint64_t start = now();
    int rc = result(syscall(SYS_delete_module, arg[0], O_NONBLOCK));
    elapsed = now() - start;
    return rc;
}

static int do_tag(char **arg)
{
    (void)arg;
    return 0;
}

static int do_mount(char **arg)
{
    uint64_t start = now();
    int rc = result(mount(arg[1], arg[2], arg[0], 0, NULL));
    elapsed = now() - start;
    return rc;
}

static int do_umount(char **arg)
{
    return result(umount(arg[0]));
}

static int do_cat(char **arg)
{
    char line[800];
    FILE *f = fopen(arg[0], "r");
    if (!f)
        return -errno;
    while (fgets(line, sizeof line, f)) {
        char out[840];
        line[strcspn(line, "\n")] = 0;
        snprintf(out, sizeof out, "| %s", line);
        report(out);
    }
    fclose(f);
    return 0;
}

/* Past the kernel's log, which would lose most of a long file. */
static int do_dump(char **arg)
{
    char line[800];
    FILE *f = fopen(arg[0], "r");
    FILE *out = fopen("/dev/console", "w");
    if (!f || !out)
        return -errno;
    while (fgets(line, sizeof line, f))
        fprintf(out, "| %s", line);
    fclose(f);
    return fclose(out) ? -errno : 0;
}

static int do_write(char **arg)
{
    int fd = open(arg[0], O_WRONLY);
    if (fd < 0)
        return -errno;
    int rc = result(write(fd, arg[1], strlen(arg[1])));
    close(fd);
    return rc;
}

static int get_u64(FILE *f, uint64_t *value)
{
    unsigned char b[8];
    if (fread(b, 1, 8, f) != 8)
        return 0;
    *value = 0;
    for (int i = 0; i < 8; i++)
        *value = *value << 8 | b[i];
    return 1;
}

/* A description is: u64 size of the image, then runs of u64 offset, u64
 * length, bytes; all big-endian. What no run covers is a hole. */
static int do_image(char **arg)
{
    uint64_t size, offset, length;
    char block[4096];
    FILE *f = fopen(arg[0], "r");
    if (!f)
        return -errno;
    int fd = open(arg[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || !get_u64(f, &size) || ftruncate64(fd, (off64_t)size) < 0) {
        fclose(f);
        return -EIO;
    }
    int rc = 0;
    while (rc == 0 && get_u64(f, &offset)) {
        if (!get_u64(f, &length))
            rc = -EIO;
        while (rc == 0 && length > 0) {
            size_t n = length < sizeof block ? (size_t)length : sizeof block;
            if (fread(block, 1, n, f) != n ||
                pwrite64(fd, block, n, (off64_t)offset) != (ssize_t)n)
                rc = -EIO;
            offset += n;
            length -= n;
        }
    }
    fclose(f);
    close(fd);
    return rc;
}

static int do_attach(char **arg)
{
    int fd = open(arg[0], O_RDWR | O_CLOEXEC);
    loop_fd = open(arg[1], O_RDWR | O_CLOEXEC);
    if (fd < 0 || loop_fd < 0)
        return -errno;
    int rc = result(ioctl(loop_fd, LOOP_SET_FD, fd));
    close(fd);
    return rc;
}

static int do_detach(char **arg)
{
    (void)arg;
    int rc = result(ioctl(loop_fd, LOOP_CLR_FD, 0));
    close(loop_fd);
    loop_fd = -1;
    return rc;
}

static void fill(uint32_t *block, size_t words, uint32_t seed)
{
    for (size_t i = 0; i < words; i++)
        block[i] = seed = seed * 1664525u + 1013904223u;
}

/* Writes (or, when `check`, reads and compares) a few files of known content. */
static int files(const char *dir, int check)
{
    static uint32_t want[1024], got[1024];
    char path[256];
    for (unsigned file = 0; file < 8; file++) {
        snprintf(path, sizeof path, "%s/d%u", dir, file % 3);
        if (!check && mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        snprintf(path, sizeof path, "%s/d%u/file%u", dir, file % 3, file);
        int fd = open(path, check ? O_RDONLY : O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
            return -errno;
        for (unsigned block = 0; block < FILE_BLOCKS; block++) {
            fill(want, 1024, file * 1000 + block);
            ssize_t n = check ? read(fd, got, sizeof got) : write(fd, want, sizeof want);
            if (n != (ssize_t)sizeof want || (check && memcmp(want, got, sizeof want))) {
                close(fd);
                return -EIO;
            }
        }
        int rc = check ? 0 : result(fsync(fd));
        close(fd);
        if (rc)
            return rc;
    }
    return 0;
}

static int do_fill(char **arg)
{
    return files(arg[0], 0);
}

static int do_check(char **arg)
{
    return files(arg[0], 1);
}

static int do_ifup(char **arg)
{
    struct ifreq request = {0};
    strncpy(request.ifr_name, arg[0], IFNAMSIZ - 1);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (s < 0)
        return -errno;
    int rc = result(ioctl(s, SIOCGIFFLAGS, &request));
    if (rc == 0) {
        request.ifr_flags |= IFF_UP;
        rc = result(ioctl(s, SIOCSIFFLAGS, &request));
    }
    close(s);
    return rc;
}

/* Sends a datagram from an IPv6 address to itself, and reads it. */
static int do_udp6(char **arg)
{
    struct sockaddr_in6 self = {.sin6_family = AF_INET6};
    socklen_t length = sizeof self;
    char text[16] = "";
    if (inet_pton(AF_INET6, arg[0], &self.sin6_addr) != 1)
        return -EINVAL;
    int s = socket(AF_INET6, SOCK_DGRAM, 0);
    if (s < 0)
        return -errno;
    struct pollfd ready = {.fd = s, .events = POLLIN};
    int rc = result(bind(s, (struct sockaddr *)&self, sizeof self));
    if (rc == 0)
        rc = result(getsockname(s, (struct sockaddr *)&self, &length));
    if (rc == 0)
        rc = result(sendto(s, "klink", 5, 0, (struct sockaddr *)&self, sizeof self));
    if (rc == 0 && poll(&ready, 1, 5000) != 1)
        rc = -ETIMEDOUT;
    if (rc == 0 && (recv(s, text, sizeof text, 0) != 5 || memcmp(text, "klink", 5)))
        rc = -EIO;
    close(s);
    return rc;
}

static const struct command {
    const char *name;
    int args;
    int (*run)(char **arg);
} commands[] = {
    {"attach", 2, do_attach}, /* FILE LOOPDEVICE */
    {"cat", 1, do_cat},       /* FILE: its lines, each as "| LINE" */
    {"check", 1, do_check},   /* DIR: the files of "fill" are as written */
    {"detach", 0, do_detach}, /* the loop device of "attach" */
    {"dump", 1, do_dump},     /* FILE: its lines, each as "| LINE", to the console */
    {"fill", 1, do_fill},     /* DIR: writes files of known content */
    {"ifup", 1, do_ifup},     /* INTERFACE */
    {"image", 2, do_image},   /* DESCRIPTION FILE: writes a sparse file */
    {"load", 1, do_load},     /* FILE [PARAMETER]: finit_module */
    {"mount", 3, do_mount},   /* TYPE DEVICE DIR */
    {"tag", 0, do_tag},       /* anything: only comes back */
    {"udp6", 1, do_udp6},     /* ADDRESS: a datagram to itself */
    {"umount", 1, do_umount}, /* DIR */
    {"unload", 1, do_unload}, /* NAME: delete_module */
    {"write", 2, do_write},   /* FILE TEXT */
};

static int run(char *line)
{
    char *arg[MAX_ARGS + 1] = {0};
    int count = -1;
    char *name = strtok(line, " ");
    for (char *word = name; word && count < MAX_ARGS; word = strtok(NULL, " ")) {
        if (count >= 0)
            arg[count] = word;
        count++;
    }
    for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(name, commands[i].name))
            continue;
        if (count < commands[i].args)
            return -EINVAL;
        uint64_t start = now();
        elapsed = 0;
        int rc = commands[i].run(arg);
        if (elapsed == 0)
            elapsed = now() - start;
        return rc;
    }
    return -ENOSYS;
}

static void run_file(const char *path)
{
    char line[512], copy[512], text[640];
    FILE *f = fopen(path, "r");
    if (!f) {
        report("fatal: no command file");
        return;
    }
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!*line)
            continue;
        strcpy(copy, line);
        /* Said before it runs too: if the kernel dies, the log tells in what. */
        snprintf(text, sizeof text, "run %s", line);
        report(text);
        int rc = run(copy);
        snprintf(text, sizeof text, "%s rc=%d ns=%llu", line, rc, (unsigned long long)elapsed);
        report(text);
    }
    fclose(f);
}

/* Waits until the kernel has said nothing for two seconds, at most 30: drivers
 * that still look for their devices (a PS/2 mouse takes a second) would
 * otherwise be timed with the modules. */
static void settle(void)
{
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char record[8192];

    if (fd < 0)
        return;
    for (int waited = 0, quiet = 0; waited < 30 && quiet < 2; waited++) {
        int said = 0;
        ssize_t length;

        /* EPIPE: older records were overwritten before they were read. */
        while ((length = read(fd, record, sizeof record)) > 0 || (length < 0 && errno == EPIPE))
            said = 1;
        quiet = said ? 0 : quiet + 1;
        sleep(1);
    }
    close(fd);
}

int main(void)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/tmp", 0755);
    mkdir("/mnt", 0755);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    mount("tmp", "/tmp", "tmpfs", 0, NULL);
    log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    settle();
    report("ready");
    run_file("/commands");
    report("done");
    sync();
    /* With -no-reboot this ends QEMU, on machines without a power switch too. */
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}
