/* A QEMU plugin that counts the guest instructions a process executes and prints the total on stderr at its end. The
 * count is of instructions, not of cycles, so it is the same on every host.
 * Build: cc -O2 -shared -fPIC -o icount.so icount.c
 * Use:   qemu-aarch64 -plugin ./icount.so -d plugin PROGRAM
 *        With -plugin ./icount.so,marks=on it also prints the count at each of the program's writes to stdout, so that a
 *        program that prints lines tells what it executed between them.
 * What is declared below is the part used of QEMU's public plugin interface, version 1 (QEMU 7.2). */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, struct qemu_plugin_tb *block));
extern void qemu_plugin_register_vcpu_tb_exec_inline(
    struct qemu_plugin_tb *block, enum qemu_plugin_op op, void *counter, uint64_t amount);
extern void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1,
        uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8));
extern void qemu_plugin_register_atexit_cb(
    qemu_plugin_id_t id, void (*callback)(qemu_plugin_id_t id, void *data), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_outs(const char *text);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static uint64_t total;

/* Each translated block adds its length to the total whenever it runs. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(
        block, QEMU_PLUGIN_INLINE_ADD_U64, &total, qemu_plugin_tb_n_insns(block));
}

static void print(const char *what)
{
    char line[64];
    snprintf(line, sizeof line, "%s: %" PRIu64 "\n", what, total);
    qemu_plugin_outs(line);
}

/* The number of write on AArch64 Linux, and standard output. */
enum { WRITE = 64, STDOUT = 1 };

static void system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
    uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == WRITE && a1 == STDOUT)
        print("mark");
}

static void at_exit(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    print("instructions");
}

__attribute__((visibility("default"))) int qemu_plugin_install(
    qemu_plugin_id_t id, const struct qemu_info *info, int count, char **arguments)
{
    (void)info;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    if (count > 0 && strcmp(arguments[0], "marks=on") == 0)
        qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    qemu_plugin_register_atexit_cb(id, at_exit, NULL);
    return 0;
}
