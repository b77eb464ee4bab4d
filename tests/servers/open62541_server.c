/* An OPC UA server (open62541's) for the tests and benchmarks; built by infra/scripts/open62541.sh, started by
 * tests/devices/opcua_servers.py. Options: arguments "key=value" (see ServerOptions there). It writes one line of JSON
 * when it serves, and takes one line per value on its input, in parts divided by tabs: name, milliseconds since 1970,
 * status code, value; answered by a line {"done": true}. It ends when its input does. */
#include <open62541/plugin/accesscontrol_default.h>
#include <open62541/plugin/historydata/history_data_backend_memory.h>
#include <open62541/plugin/historydata/history_data_gathering_default.h>
#include <open62541/plugin/historydata/history_database_default.h>
#include <open62541/plugin/log_stdout.h>
#include <open62541/plugin/pki_default.h>
#include <open62541/server.h>
#include <open62541/server_config_default.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLICY "http://opcfoundation.org/UA/SecurityPolicy#"

typedef struct {
    char name[32];
    const UA_DataType *type;
    UA_Boolean array;
    UA_NodeId id;
} Variable;

static volatile UA_Boolean running = true;
static UA_Server *server;
static Variable *variables;
static size_t fixed = 2, simulated, count;
static double rate;
static int argc_;
static char **argv_;

static const char *option(const char *key, const char *otherwise) {
    size_t length = strlen(key);
    for (int i = 1; i < argc_; i++) {
        if (strncmp(argv_[i], key, length) == 0 && argv_[i][length] == '=') return argv_[i] + length + 1;
    }
    return otherwise;
}

static void fail(const char *what, UA_StatusCode status) {
    fprintf(stderr, "open62541: %s: %s\n", what, UA_StatusCode_name(status));
    exit(1);
}

static void check(const char *what, UA_StatusCode status) {
    if (status != UA_STATUSCODE_GOOD) fail(what, status);
}

static UA_ByteString file(const char *path) {
    UA_ByteString content = UA_BYTESTRING_NULL;
    FILE *opened = fopen(path, "rb");
    if (!opened) return content;
    fseek(opened, 0, SEEK_END);
    UA_ByteString_allocBuffer(&content, (size_t)ftell(opened));
    rewind(opened);
    if (fread(content.data, 1, content.length, opened) != content.length) fail(path, UA_STATUSCODE_BADNOTFOUND);
    fclose(opened);
    return content;
}

static const UA_DataType *type_of(const char *name) {
    for (size_t i = 0; i < 25; i++) {
        if (strcmp(UA_TYPES[i].typeName, name) == 0) return &UA_TYPES[i];
    }
    fprintf(stderr, "open62541: no type %s\n", name);
    exit(1);
}

/* The value of the k-th writing; tests/servers/node_opcua.cjs says the same. */
static void counted(const Variable *variable, UA_UInt64 k, UA_Variant *out) {
    static _Thread_local union {
        UA_Boolean b; UA_SByte i1; UA_Byte u1; UA_Int16 i2; UA_UInt16 u2; UA_Int32 i4; UA_UInt32 u4; UA_Int64 i8;
        UA_UInt64 u8; UA_Float f4; UA_Double f8[2]; UA_String text; UA_LocalizedText localized; UA_DateTime time;
    } value;
    static _Thread_local char text[24];
    snprintf(text, sizeof text, "v%llu", (unsigned long long)k);
    switch (variable->type->typeKind) {
        case UA_DATATYPEKIND_BOOLEAN: value.b = k % 2 == 1; break;
        case UA_DATATYPEKIND_SBYTE: value.i1 = (UA_SByte)(k % 128); break;
        case UA_DATATYPEKIND_BYTE: value.u1 = (UA_Byte)k; break;
        case UA_DATATYPEKIND_INT16: value.i2 = (UA_Int16)(k % 32768); break;
        case UA_DATATYPEKIND_UINT16: value.u2 = (UA_UInt16)k; break;
        case UA_DATATYPEKIND_INT32: value.i4 = (UA_Int32)(k % 2147483648u); break;
        case UA_DATATYPEKIND_UINT32: value.u4 = (UA_UInt32)k; break;
        case UA_DATATYPEKIND_INT64: value.i8 = (UA_Int64)k; break;
        case UA_DATATYPEKIND_UINT64: value.u8 = k; break;
        case UA_DATATYPEKIND_FLOAT: value.f4 = (UA_Float)(k % 16777216); break;
        case UA_DATATYPEKIND_DOUBLE: value.f8[0] = (UA_Double)k; value.f8[1] = (UA_Double)k + 1; break;
        case UA_DATATYPEKIND_STRING: value.text = UA_STRING(text); break;
        case UA_DATATYPEKIND_LOCALIZEDTEXT: value.localized = UA_LOCALIZEDTEXT(NULL, text); break;
        case UA_DATATYPEKIND_DATETIME: value.time = UA_DateTime_fromUnixTime((UA_Int64)k); break;
        default: fail(variable->type->typeName, UA_STATUSCODE_BADNOTSUPPORTED);
    }
    if (variable->array) UA_Variant_setArray(out, &value, 2, variable->type);
    else UA_Variant_setScalar(out, &value, variable->type);
    out->storageType = UA_VARIANT_DATA_NODELETE;
}

static void write_value(const Variable *variable, const UA_Variant *value, UA_DateTime time, UA_StatusCode status) {
    UA_DataValue data;
    UA_DataValue_init(&data);
    data.value = *value;
    data.sourceTimestamp = time;
    data.status = status;
    data.hasValue = data.hasSourceTimestamp = true;
    data.hasStatus = status != UA_STATUSCODE_GOOD;
    check(variable->name, UA_Server_writeDataValue(server, variable->id, data));
}

/* The k-th writing has the time start + k / rate; a late one is written at once with its own time. */
static void *simulate(void *unused) {
    UA_DateTime start = UA_DateTime_now();
    UA_DateTime began = UA_DateTime_nowMonotonic();
    struct timespec pause = {0, 500000};
    for (UA_UInt64 k = 0; running;) {
        double passed = (double)(UA_DateTime_nowMonotonic() - began) / UA_DATETIME_SEC;
        for (UA_UInt64 due = (UA_UInt64)(passed * rate); k < due && running; k++) {
            UA_DateTime time = start + (UA_DateTime)((double)(k + 1) * UA_DATETIME_SEC / rate);
            for (size_t i = fixed; i < count; i++) {
                UA_Variant value;
                UA_Variant_init(&value);
                counted(&variables[i], k + 1, &value);
                write_value(&variables[i], &value, time, UA_STATUSCODE_GOOD);
            }
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void put(char *line) {
    char *parts[4];
    for (int i = 0; i < 4; i++) {
        parts[i] = i < 3 ? strsep(&line, "\t") : line;
        if (!parts[i]) return;
    }
    for (size_t i = 0; i < count; i++) {
        Variable *variable = &variables[i];
        if (strcmp(variable->name, parts[0]) != 0) continue;
        UA_Variant value;
        UA_Variant_init(&value);
        UA_String text = UA_STRING(parts[3]);
        UA_Int32 i4 = (UA_Int32)strtol(parts[3], NULL, 10);
        if (variable->type == &UA_TYPES[UA_TYPES_STRING]) UA_Variant_setScalar(&value, &text, variable->type);
        else if (variable->type == &UA_TYPES[UA_TYPES_INT32]) UA_Variant_setScalar(&value, &i4, variable->type);
        else counted(variable, strtoull(parts[3], NULL, 10), &value);
        value.storageType = UA_VARIANT_DATA_NODELETE;
        UA_DateTime time = UA_DATETIME_UNIX_EPOCH + (UA_DateTime)(strtod(parts[1], NULL) * UA_DATETIME_MSEC + 0.5);
        write_value(variable, &value, time, (UA_StatusCode)strtoul(parts[2], NULL, 10));
        puts("{\"done\": true}");
        fflush(stdout);
        return;
    }
    printf("{\"done\": false, \"unknown\": \"%s\"}\n", parts[0]);
    fflush(stdout);
}

static void *listen_to_input(void *unused) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        line[length - 1] = 0;
        put(line);
    }
    free(line);
    running = false;
    return NULL;
}

static void stop(int signal_) { running = false; }

static void add(size_t place, UA_UInt16 namespace, const char *name, const char *type, UA_HistoryDataGathering *gathering,
                UA_HistorizingNodeIdSettings settings, UA_Double sampling) {
    Variable *variable = &variables[place];
    char base[32];
    snprintf(base, sizeof base, "%s", type);
    char *bracket = strchr(base, '[');
    if (bracket) *bracket = 0;
    snprintf(variable->name, sizeof variable->name, "%s", name);
    variable->type = type_of(base);
    variable->array = bracket != NULL;
    variable->id = UA_NODEID_STRING_ALLOC(namespace, name);
    UA_VariableAttributes attributes = UA_VariableAttributes_default;
    attributes.displayName = UA_LOCALIZEDTEXT("", variable->name);
    attributes.dataType = variable->type->typeId;
    attributes.valueRank = variable->array ? UA_VALUERANK_ONE_DIMENSION : UA_VALUERANK_SCALAR;
    attributes.minimumSamplingInterval = sampling;
    attributes.accessLevel = UA_ACCESSLEVELMASK_READ | UA_ACCESSLEVELMASK_WRITE;
    if (gathering) {
        attributes.accessLevel |= UA_ACCESSLEVELMASK_HISTORYREAD;
        attributes.historizing = true;
    }
    UA_Variant value;
    UA_Variant_init(&value);
    counted(variable, 0, &value);
    attributes.value = value;
    check(name, UA_Server_addVariableNode(server, variable->id, UA_NODEID_NUMERIC(0, UA_NS0ID_OBJECTSFOLDER),
                                          UA_NODEID_NUMERIC(0, UA_NS0ID_ORGANIZES),
                                          UA_QUALIFIEDNAME(namespace, variable->name),
                                          UA_NODEID_NUMERIC(0, UA_NS0ID_BASEDATAVARIABLETYPE), attributes, NULL, NULL));
    if (gathering) {
        check(name, gathering->registerNodeId(server, gathering->context, &variable->id, settings));
    }
}

static void secure(UA_ServerConfig *config, const char *policy) {
    UA_ByteString certificate = file(option("certificate", "")), key = file(option("key", ""));
    if (strcmp(policy, "None") == 0) {
        check(policy, UA_ServerConfig_addSecurityPolicyNone(config, certificate.length ? &certificate : NULL));
    } else if (strcmp(policy, "Basic256Sha256") == 0) {
        check(policy, UA_ServerConfig_addSecurityPolicyBasic256Sha256(config, &certificate, &key));
    } else if (strcmp(policy, "Aes128_Sha256_RsaOaep") == 0) {
        check(policy, UA_ServerConfig_addSecurityPolicyAes128Sha256RsaOaep(config, &certificate, &key));
    } else if (strcmp(policy, "Aes256_Sha256_RsaPss") == 0) {
        check(policy, UA_ServerConfig_addSecurityPolicyAes256Sha256RsaPss(config, &certificate, &key));
    } else {
        fail(policy, UA_STATUSCODE_BADSECURITYPOLICYREJECTED);
    }
}

static void endpoint(UA_ServerConfig *config, const char *policy, const char *mode) {
    char uri[100];
    snprintf(uri, sizeof uri, POLICY "%s", policy);
    UA_String wanted = UA_STRING(uri);
    UA_Boolean there = false;
    for (size_t i = 0; i < config->securityPoliciesSize; i++) {
        there = there || UA_String_equal(&config->securityPolicies[i].policyUri, &wanted);
    }
    if (!there) secure(config, policy);
    UA_MessageSecurityMode as = strcmp(mode, "None") == 0   ? UA_MESSAGESECURITYMODE_NONE
                                : strcmp(mode, "Sign") == 0 ? UA_MESSAGESECURITYMODE_SIGN
                                                            : UA_MESSAGESECURITYMODE_SIGNANDENCRYPT;
    check(policy, UA_ServerConfig_addEndpoint(config, wanted, as));
}

static void trust(UA_ServerConfig *config) {
    const char *folder = option("trusted", "");
    UA_CertificateVerification *both[] = {&config->secureChannelPKI, &config->sessionPKI};
    for (int i = 0; i < 2; i++) {
        if (both[i]->clear) both[i]->clear(both[i]);
        if (strcmp(folder, "") == 0) UA_CertificateVerification_AcceptAll(both[i]);
        else check(folder, UA_CertificateVerification_CertFolders(both[i], folder, option("issuers", ""),
                                                                  option("revoked", "")));
    }
}

int main(int argc, char **argv) {
    argc_ = argc;
    argv_ = argv;
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    UA_ServerConfig config;
    memset(&config, 0, sizeof config);
    config.logging = UA_Log_Stdout_new(UA_LOGLEVEL_FATAL); /* nobody reads it, and a full pipe would stop us */
    UA_UInt16 port = (UA_UInt16)atoi(option("port", "4840"));
    check("config", UA_ServerConfig_setBasics_withPort(&config, port));
    UA_Array_delete(config.serverUrls, config.serverUrlsSize, &UA_TYPES[UA_TYPES_STRING]);
    char url[64];
    snprintf(url, sizeof url, "opc.tcp://127.0.0.1:%u", port);
    config.serverUrls = UA_String_new();
    config.serverUrls[0] = UA_STRING_ALLOC(url);
    config.serverUrlsSize = 1;
    UA_String_clear(&config.applicationDescription.applicationUri);
    config.applicationDescription.applicationUri = UA_STRING_ALLOC("urn:127.0.0.1:lineside:open62541");
    config.shutdownDelay = 0;
    trust(&config);

    char *endpoints = strdup(option("security", "None:None"));
    UA_Boolean plain = false;
    for (char *one; (one = strsep(&endpoints, ","));) {
        char *policy = strsep(&one, ":");
        plain = plain || strcmp(policy, "None") == 0;
        endpoint(&config, policy, one);
    }
    if (!plain) { /* for asking which endpoints there are */
        secure(&config, "None");
        config.securityPolicyNoneDiscoveryOnly = true;
    }
    config.allowNonePolicyPassword = plain;
    const char *user = option("user", "");
    UA_UsernamePasswordLogin login = {UA_STRING((char *)user), UA_STRING((char *)option("password", ""))};
    UA_String *policy = &config.securityPolicies[0].policyUri;
    check("users", UA_AccessControl_default(&config, !*user, policy, *user ? 1 : 0, *user ? &login : NULL));

    simulated = (size_t)atol(option("variables", "0"));
    count = fixed + simulated;
    rate = atof(option("rate", "10"));
    size_t history = (size_t)atol(option("history", "0"));
    double sampling = atof(option("sampling", "0"));
    config.publishingIntervalLimits.min = 5;
    config.samplingIntervalLimits.min = sampling;
    config.queueSizeLimits.max = (UA_UInt32)atol(option("queue_size", "100000"));
    config.maxMonitoredItemsPerSubscription = (UA_UInt32)atol(option("items_per_subscription", "100000"));
    config.maxNotificationsPerPublish = 100000; /* 0 is none here, not any number */
    config.maxPublishReqPerSession = 20;
    config.historizingEnabled = history > 0;
    config.accessHistoryDataCapability = history > 0;
    UA_HistoryDataGathering gathering;
    UA_HistorizingNodeIdSettings settings;
    memset(&settings, 0, sizeof settings);
    if (history > 0) {
        gathering = UA_HistoryDataGathering_Default(count);
        config.historyDatabase = UA_HistoryDatabase_default(gathering);
        settings.historizingBackend = UA_HistoryDataBackend_Memory_Circular(count, history);
        settings.maxHistoryDataResponseSize = 10000;
        settings.historizingUpdateStrategy = UA_HISTORIZINGUPDATESTRATEGY_VALUESET;
    }
    server = UA_Server_newWithConfig(&config);
    if (!server) fail("server", UA_STATUSCODE_BADINTERNALERROR);

    UA_UInt16 namespace = UA_Server_addNamespace(server, option("namespace", "urn:lineside:test"));
    variables = calloc(count, sizeof *variables);
    UA_HistoryDataGathering *kept = history > 0 ? &gathering : NULL;
    add(0, namespace, "m.state", "Int32", kept, settings, sampling);
    add(1, namespace, "m.order", "String", kept, settings, sampling);
    char *types[30];
    size_t kinds = 0;
    char *given = strdup(option("types", "Double"));
    while (kinds < 30 && (types[kinds] = strsep(&given, ","))) kinds++;
    for (size_t i = 0; i < simulated; i++) {
        char name[32];
        snprintf(name, sizeof name, "v%zu", i);
        add(fixed + i, namespace, name, types[i % kinds], kept, settings, sampling);
    }

    check("start", UA_Server_run_startup(server));
    printf("{\"port\": %u}\n", port);
    fflush(stdout);
    pthread_t input, writer;
    pthread_create(&input, NULL, listen_to_input, NULL);
    if (rate > 0 && simulated > 0) pthread_create(&writer, NULL, simulate, NULL);
    while (running) UA_Server_run_iterate(server, true);
    if (rate > 0 && simulated > 0) pthread_join(writer, NULL);
    UA_Server_run_shutdown(server);
    return 0;
}
