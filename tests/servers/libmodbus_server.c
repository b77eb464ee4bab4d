/* A Modbus device made with libmodbus, for the tests and benchmarks; built by infra/scripts/libmodbus.sh and started by
 * tests/devices/modbus_servers.py.
 *
 *   server tcp PORT          units on 127.0.0.1:PORT; a unit is there once something was put into it
 *   server rtu DEVICE UNIT   one unit on a serial line
 *
 * It says "ok" when it serves. Each line on its input is a command, answered with "ok":
 *   put UNIT AREA ADDRESS VALUE...     AREA: holding, input, coil, discrete
 *   illegal UNIT AREA ADDRESS COUNT    these addresses do not exist
 *   legal UNIT                         all do again
 *   longest COUNT                      exception 3 for longer reads
 *   silent UNIT 0|1                    it does not answer
 *   busy UNIT CODE                     it answers everything with this exception; 0: no more
 *   delay MILLISECONDS                 every answer comes so much later
 *   requests                           answered with "ok N": how many reads came since the last such command
 * It ends when its input does. */
#include <errno.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNITS 256
#define ALL 65536
#define MOST_CLIENTS 64

static modbus_mapping_t *maps[UNITS];
static uint8_t *gone[UNITS][4]; /* per address: does not exist */
static int silent[UNITS], busy[UNITS];
static int longest = 2000, delay_ms;
static long requests;

static const char *AREAS[] = {"coil", "discrete", "holding", "input"}; /* in the order of functions 1 to 4 */

static modbus_mapping_t *map_of(int unit)
{
    if (maps[unit] == NULL) {
        maps[unit] = modbus_mapping_new(ALL, ALL, ALL, ALL);
        for (int area = 0; area < 4; area++)
            gone[unit][area] = calloc(ALL, 1);
        if (maps[unit] == NULL || gone[unit][3] == NULL)
            exit(1);
    }
    return maps[unit];
}

static int area_of(const char *name)
{
    for (int area = 0; area < 4; area++)
        if (strcmp(name, AREAS[area]) == 0)
            return area;
    return -1;
}

static void put(modbus_mapping_t *map, int area, int address, long value)
{
    switch (area) {
    case 0: map->tab_bits[address] = value != 0; break;
    case 1: map->tab_input_bits[address] = value != 0; break;
    case 2: map->tab_registers[address] = (uint16_t)value; break;
    default: map->tab_input_registers[address] = (uint16_t)value;
    }
}

/* One command; 0 when it is not understood. */
static int command(char *line)
{
    char *word = strtok(line, " \n");
    char *given[3] = {NULL};
    if (word == NULL)
        return 0;
    if (strcmp(word, "requests") == 0)
        return 1;
    for (int i = 0; i < 3; i++) {
        given[i] = strtok(NULL, " \n");
        if (given[i] == NULL)
            break;
        if (i == 0 && strcmp(word, "longest") == 0)
            return longest = atoi(given[0]), 1;
        if (i == 0 && strcmp(word, "delay") == 0)
            return delay_ms = atoi(given[0]), 1;
    }
    if (given[0] == NULL)
        return 0;
    int unit = atoi(given[0]) & 255;
    modbus_mapping_t *map = map_of(unit);
    if (strcmp(word, "legal") == 0) {
        for (int area = 0; area < 4; area++)
            memset(gone[unit][area], 0, ALL);
        return 1;
    }
    if (given[1] == NULL)
        return 0;
    if (strcmp(word, "silent") == 0)
        return silent[unit] = atoi(given[1]), 1;
    if (strcmp(word, "busy") == 0)
        return busy[unit] = atoi(given[1]), 1;
    int area = area_of(given[1]);
    if (given[2] == NULL || area < 0)
        return 0;
    int address = atoi(given[2]);
    char *value = strtok(NULL, " \n");
    if (strcmp(word, "illegal") == 0 && value != NULL) {
        for (int end = address + atoi(value); address < end && address < ALL; address++)
            gone[unit][area][address] = 1;
        return 1;
    }
    if (strcmp(word, "put") != 0)
        return 0;
    for (; value != NULL && address < ALL; value = strtok(NULL, " \n"))
        put(map, area, address++, atol(value));
    return 1;
}

static void reply(modbus_t *bus, const uint8_t *query, int length)
{
    int header = modbus_get_header_length(bus);
    int unit = query[header - 1], area = query[header] - 1;
    int address = query[header + 1] << 8 | query[header + 2], count = query[header + 3] << 8 | query[header + 4];
    requests++;
    if (silent[unit])
        return;
    if (delay_ms > 0)
        usleep(1000 * delay_ms);
    if (maps[unit] == NULL) {
        modbus_reply_exception(bus, query, MODBUS_EXCEPTION_GATEWAY_TARGET);
        return;
    }
    if (busy[unit]) {
        modbus_reply_exception(bus, query, busy[unit]);
        return;
    }
    if (area >= 0 && area < 4) {
        if (count > longest) {
            modbus_reply_exception(bus, query, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE);
            return;
        }
        for (int at = address; at < address + count && at < ALL; at++)
            if (gone[unit][area][at]) {
                modbus_reply_exception(bus, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
                return;
            }
    }
    modbus_reply(bus, query, length, maps[unit]);
}

int main(int argc, char **argv)
{
    static char line[1 << 20];
    int tcp = argc == 3 && strcmp(argv[1], "tcp") == 0;
    if (!tcp && !(argc == 4 && strcmp(argv[1], "rtu") == 0)) {
        fprintf(stderr, "usage: server tcp PORT | server rtu DEVICE UNIT\n");
        return 2;
    }
    modbus_t *bus = tcp ? modbus_new_tcp("127.0.0.1", atoi(argv[2])) : modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
    int listening = -1, serial = -1, clients[MOST_CLIENTS], connected = 0;
    if (bus == NULL)
        return 1;
    if (tcp) {
        listening = modbus_tcp_listen(bus, MOST_CLIENTS);
    } else {
        modbus_set_slave(bus, atoi(argv[3]));
        map_of(atoi(argv[3]));
        if (modbus_connect(bus) == 0)
            serial = modbus_get_socket(bus);
    }
    if (listening < 0 && serial < 0) {
        fprintf(stderr, "libmodbus: %s\n", modbus_strerror(errno));
        return 1;
    }
    setvbuf(stdin, NULL, _IONBF, 0);
    printf("ok\n");
    fflush(stdout);
    for (;;) {
        fd_set ready;
        int most = listening > serial ? listening : serial;
        FD_ZERO(&ready);
        FD_SET(0, &ready);
        if (listening >= 0)
            FD_SET(listening, &ready);
        if (serial >= 0)
            FD_SET(serial, &ready);
        for (int i = 0; i < connected; i++) {
            FD_SET(clients[i], &ready);
            most = clients[i] > most ? clients[i] : most;
        }
        if (select(most + 1, &ready, NULL, NULL, NULL) < 0)
            continue;
        if (FD_ISSET(0, &ready)) {
            if (fgets(line, sizeof line, stdin) == NULL)
                return 0;
            int counted = strncmp(line, "requests", 8) == 0;
            if (!command(line))
                printf("what?\n");
            else if (counted)
                printf("ok %ld\n", requests), requests = 0;
            else
                printf("ok\n");
            fflush(stdout);
        }
        if (listening >= 0 && FD_ISSET(listening, &ready)) {
            int fd = accept(listening, NULL, NULL), on = 1;
            if (fd >= 0 && connected < MOST_CLIENTS) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                clients[connected++] = fd;
            } else if (fd >= 0) {
                close(fd);
            }
        }
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        if (serial >= 0 && FD_ISSET(serial, &ready)) {
            int length = modbus_receive(bus, query);
            if (length > 0)
                reply(bus, query, length);
        }
        for (int i = connected - 1; i >= 0; i--) {
            if (!FD_ISSET(clients[i], &ready))
                continue;
            modbus_set_socket(bus, clients[i]);
            int length = modbus_receive(bus, query);
            if (length > 0) {
                reply(bus, query, length);
            } else if (length < 0) {
                close(clients[i]);
                clients[i] = clients[--connected];
            }
        }
    }
}
