/* Loaded into a server: as long as the file named in SLOW_DISK is there, each sync takes as many milliseconds longer
   as the file says. Nothing is lost and nothing fails; the disk is only slow. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_as_told(void) {
    const char *path = getenv("SLOW_DISK");
    FILE *file = path ? fopen(path, "re") : NULL;
    long millis = 0;
    if (!file)
        return;
    if (fscanf(file, "%ld", &millis) == 1 && millis > 0) {
        struct timespec span = {millis / 1000, millis % 1000 * 1000000};
        nanosleep(&span, NULL);
    }
    fclose(file);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_as_told();
    return real(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_as_told();
    return real(fd);
}
