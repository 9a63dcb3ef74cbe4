/* A relay on a port of its own, one thread per link. Cutting it closes every
 * link and refuses new ones until it is mended; the server never notices more
 * than a closed socket. */
#include "suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS 64 /* more than any check opens, reconnects included */

struct relay {
    pthread_mutex_t lock;
    int listener, down, count;
    struct link {
        int near, far;
    } links[LINKS];
};

static int dial_server(void) {
    const char *port = strchr(server(), ':');
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port + 1))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int far = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(far, (struct sockaddr *)&address, sizeof address) != 0) {
        close(far);
        return -1;
    }
    return far;
}

static int copy(int from, int to) {
    char buffer[65536];
    ssize_t size = read(from, buffer, sizeof buffer);
    for (ssize_t sent = 0; sent < size;) {
        ssize_t part = send(to, buffer + sent, (size_t)(size - sent), MSG_NOSIGNAL);
        if (part <= 0)
            return 0;
        sent += part;
    }
    return size > 0;
}

static void *pump(void *context) {
    struct link *link = context;
    struct pollfd ends[2] = {{.fd = link->near, .events = POLLIN}, {.fd = link->far, .events = POLLIN}};
    for (int open = 1; open;) {
        if (poll(ends, 2, -1) < 0)
            break;
        if (ends[0].revents)
            open = copy(link->near, link->far);
        if (open && ends[1].revents)
            open = copy(link->far, link->near);
    }
    /* The numbers stay taken until the process ends: nobody may reuse them
     * while cut() still knows them. */
    shutdown(link->near, SHUT_RDWR);
    shutdown(link->far, SHUT_RDWR);
    return NULL;
}

static void *serve(void *context) {
    struct relay *relay = context;
    for (;;) {
        int near = accept(relay->listener, NULL, NULL);
        if (near < 0)
            return NULL;
        pthread_mutex_lock(&relay->lock);
        int far = relay->down || relay->count == LINKS ? -1 : dial_server();
        if (far < 0) {
            close(near);
        } else {
            struct link *link = &relay->links[relay->count++];
            link->near = near;
            link->far = far;
            pthread_t thread;
            pthread_create(&thread, NULL, pump, link);
            pthread_detach(thread);
        }
        pthread_mutex_unlock(&relay->lock);
    }
}

struct relay *new_relay(char *hosts, size_t size) {
    struct relay *relay = calloc(1, sizeof *relay);
    pthread_mutex_init(&relay->lock, NULL);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    relay->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(relay->listener, (struct sockaddr *)&address, length) != 0 || listen(relay->listener, 16) != 0)
        fail("the relay cannot listen");
    getsockname(relay->listener, (struct sockaddr *)&address, &length);
    snprintf(hosts, size, "127.0.0.1:%d", ntohs(address.sin_port));
    pthread_t thread;
    pthread_create(&thread, NULL, serve, relay);
    pthread_detach(thread);
    return relay;
}

void hold(struct relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->down = 1;
    pthread_mutex_unlock(&relay->lock);
}

void cut(struct relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->down = 1;
    for (int index = 0; index < relay->count; index++) {
        shutdown(relay->links[index].near, SHUT_RDWR);
        shutdown(relay->links[index].far, SHUT_RDWR);
    }
    pthread_mutex_unlock(&relay->lock);
}

void mend(struct relay *relay) {
    pthread_mutex_lock(&relay->lock);
    relay->down = 0;
    pthread_mutex_unlock(&relay->lock);
}
