#!/usr/bin/python3
"""The contestant of asyncio, and with --uvloop as the first argument, of uvloop.

contestant.h explains how it is called. Tasks, queues, locks, events and timeouts are used as the
documentation of asyncio teaches them; uvloop replaces the event loop alone, by uvloop.install(), as
its own documentation says. Debug mode is off.

The garbage collector is left as it is, since neither documentation says otherwise. Where many tasks
are alive at once it costs much: skynet takes a quarter of the time after gc.disable(), and timers
half; for spawn and timeout it makes no difference.

Children are watched by pidfds, as is the default since Python 3.12. Before, a thread for each was,
which makes 200 at once take twice as long.
"""
import asyncio
import concurrent.futures
import contextlib
import os
import platform
import sys
import threading
import time


def ns_per(times, begin):
    return (time.perf_counter_ns() - begin) / times


def ms_since(begin):
    return (time.perf_counter_ns() - begin) / 1e6


def scattered(n, end):
    return (n * 2654435761 & 0xffffffff) * end >> 32


async def share(times, count, run):
    """Starts `count` tasks, which share `times` turns, and waits until all have ended."""
    turns = [times // count + (i < times % count) for i in range(count)]
    await asyncio.gather(*[asyncio.create_task(run(part)) for part in turns])


async def switch(times):
    async def run(turns):
        for _ in range(turns):
            await asyncio.sleep(0)  # yields, and sets no timer

    begin = time.perf_counter_ns()
    await share(times, 2, run)
    return ns_per(times, begin)


async def spawn(times):
    async def one():
        return 1

    begin = time.perf_counter_ns()
    for _ in range(times):
        if await asyncio.create_task(one()) != 1:
            raise RuntimeError('a wrong result')
    return ns_per(times, begin)


CHILDREN = 10
LEAVES = 1000000
LEAF_SUM = 499999500000


async def tree(first, leaves):
    if leaves == 1:
        return first
    part = leaves // CHILDREN
    children = [asyncio.create_task(tree(first + i * part, part)) for i in range(CHILDREN)]
    total = 0
    for child in children:
        total += await child
    return total


async def skynet(threads):
    if threads > 1:
        sys.exit(3)  # a loop keeps to its thread, and threads take turns at the interpreter
    # Without a tree before, to warm up: one takes many seconds already.
    begin = time.perf_counter_ns()
    if await asyncio.create_task(tree(0, LEAVES)) != LEAF_SUM:
        raise RuntimeError('a wrong sum')
    return ms_since(begin)


async def queue(capacity, times):
    """Queues of Python 3.11 cannot be closed: None is pushed last."""
    async def push():
        for item in range(times):
            await items.put(item)
        await items.put(None)

    async def pop():
        total = 0
        while (item := await items.get()) is not None:
            total += item
        return total

    begin = time.perf_counter_ns()
    items = asyncio.Queue(capacity)
    total, _ = await asyncio.gather(asyncio.create_task(pop()), asyncio.create_task(push()))
    if total != times * (times - 1) // 2:
        raise RuntimeError('a wrong sum')
    return ns_per(times, begin)


async def mutex(times):
    lock = asyncio.Lock()
    begin = time.perf_counter_ns()
    for _ in range(times):
        async with lock:
            pass
    return ns_per(times, begin)


async def contended(tasks, times):
    lock = asyncio.Lock()
    inside = 0

    async def run(turns):
        nonlocal inside
        for _ in range(turns):
            async with lock:
                inside += 1
                await asyncio.sleep(0)
                if inside != 1:
                    raise RuntimeError('two hold the lock')
                inside -= 1

    begin = time.perf_counter_ns()
    await share(times, tasks, run)
    return ns_per(times, begin)


async def sleeps(times, duration):
    """Milliseconds until all tasks have slept, the n-th duration(n) seconds. After each thousand
    those that were started run, so that they sleep while the others are started."""
    begin = time.perf_counter_ns()
    tasks = []
    for n in range(times):
        tasks.append(asyncio.create_task(asyncio.sleep(duration(n))))
        if n % 1000 == 999:
            await asyncio.sleep(0)
    for task in tasks:
        await task
    return ms_since(begin)


async def timers(times):
    return await sleeps(times, lambda n: scattered(n, 1000000) / 1e6) - 1e3


async def queries(times):
    return await sleeps(times, lambda n: 1)


async def timeout(times):
    """The others are around this task, and so need none of their own. After each hundred the loop
    runs once, as it does wherever there is something to wait for: only then it drops timers that
    were cancelled."""
    async with contextlib.AsyncExitStack() as others:
        for n in range(100000):
            await others.enter_async_context(asyncio.timeout(600 + scattered(n, 3600)))
        await asyncio.sleep(0)
        begin = time.perf_counter_ns()
        for i in range(times):
            async with asyncio.timeout(5):
                pass
            if i % 100 == 99:
                await asyncio.sleep(0)
        return ns_per(times, begin)


async def parked(times):
    """With a list of the tasks, since the loop refers to them only weakly."""
    event = asyncio.Event()
    before = memory_bytes()
    tasks = [asyncio.create_task(event.wait()) for _ in range(times)]
    await asyncio.sleep(0)  # all of them run before this one does again
    size = (memory_bytes() - before) / times
    event.set()
    for task in tasks:
        await task
    return size


def memory_bytes():
    kib = 0
    with open('/proc/self/status', encoding='ascii') as status:
        for line in status:
            if line.startswith(('VmRSS:', 'VmPTE:')):
                kib += int(line.split()[1])
    return kib * 1024.0


CORES = sorted(os.sched_getaffinity(0))


async def executor(times):
    """The affinity is that of the calling thread."""
    def keep_to(core):
        os.sched_setaffinity(0, {core})

    def nothing():
        pass

    keep_to(CORES[0])
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(1, initializer=keep_to,
                                               initargs=(CORES[-1],)) as pool:
        begin = time.perf_counter_ns()
        for _ in range(times):
            await loop.run_in_executor(pool, nothing)
        return ns_per(times, begin)


async def posts(times, held_up):
    def keep_to(core):
        os.sched_setaffinity(0, {core})

    def count():
        nonlocal ran
        ran += 1
        if ran == times:
            all_ran.set()

    def post():
        keep_to(CORES[-1])
        for _ in range(times):
            loop.call_soon_threadsafe(count)

    keep_to(CORES[0])
    ran = 0
    loop = asyncio.get_running_loop()
    all_ran = asyncio.Event()
    memory = memory_bytes()
    begin = time.perf_counter_ns()
    poster = threading.Thread(target=post)
    poster.start()
    if held_up:
        poster.join()
        memory = (memory_bytes() - memory) / times
    await all_ran.wait()
    poster.join()
    return memory if held_up else ms_since(begin)


async def start(*command, **streams):
    return await asyncio.create_subprocess_exec(*command, **streams)


async def run_true():
    if await (await start('/bin/true')).wait() != 0:
        raise RuntimeError('it failed')


async def process(times):
    begin = time.perf_counter_ns()
    for _ in range(times):
        await run_true()
    return ns_per(times, begin)


async def processes(times):
    begin = time.perf_counter_ns()
    await asyncio.gather(*[run_true() for _ in range(times)])
    return ns_per(times, begin)


async def pipe_out(times):
    begin = time.perf_counter_ns()
    for _ in range(times):
        writer = await start('/bin/dd', 'if=/dev/zero', 'bs=1M', 'count=1', 'status=none',
                             stdout=asyncio.subprocess.PIPE)
        size = 0
        while data := await writer.stdout.read(64 * 1024):
            size += len(data)
        if size != 1024 * 1024:
            raise RuntimeError('a wrong size')
        await writer.wait()
    return ns_per(times, begin)


def successor(number):
    return number + 1


async def pool_job(times):
    loop = asyncio.get_running_loop()
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        await loop.run_in_executor(pool, successor, 0)  # starts the worker
        begin = time.perf_counter_ns()
        for i in range(times):
            if await loop.run_in_executor(pool, successor, i) != i + 1:
                raise RuntimeError('a wrong result')
        return ns_per(times, begin)


class Echo(asyncio.Protocol):
    """Protocols are called at once with what was received, and so faster than streams, with a task
    for each connection. A BufferedProtocol is not faster with requests this small. How much is read
    at a time is the loop's choice."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


async def echo(_times):
    """TCP_NODELAY is set by the loop."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, '127.0.0.1', 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# True if a tenth is done before, to warm up, as of all workloads that take nanoseconds.
WORKLOADS = {
    'switch': (True, switch),
    'spawn': (True, spawn),
    'skynet': (False, skynet),
    'queue1': (True, lambda times: queue(1, times)),
    'queue128': (True, lambda times: queue(128, times)),
    'mutex': (True, mutex),
    'mutex2': (True, lambda times: contended(2, times)),
    'mutex100': (True, lambda times: contended(100, times)),
    'timers': (False, timers),
    'timeout': (True, timeout),
    'parked': (False, parked),
    'executor': (True, executor),
    'post': (False, lambda times: posts(times, False)),
    'posted': (False, lambda times: posts(times, True)),
    'queries': (False, queries),
    'process': (True, process),
    'processes': (True, processes),
    'pipe_out': (True, pipe_out),
    'pool_job': (True, pool_job),
    'echo': (False, echo),
}


async def compete(name, times):
    warm_up, measure = WORKLOADS[name]
    if warm_up:
        await measure(times // 10 + 1)
    print(f'{await measure(times):.4g}')


def main(arguments):
    version = f'asyncio of Python {platform.python_version()}'
    if arguments[:1] == ['--uvloop']:
        import uvloop
        uvloop.install()
        version = f'uvloop {uvloop.__version__}'
        arguments = arguments[1:]
    elif sys.version_info < (3, 12):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    if arguments == ['version']:
        print(version)
        return 0
    name = arguments[0] if arguments else ''
    times = int(arguments[1]) if len(arguments) > 1 else 1
    if not name or times <= 0:
        print(f'usage: {sys.argv[0]} [--uvloop] WORKLOAD [TIMES] | echo | version', file=sys.stderr)
        return 2
    if name not in WORKLOADS:
        return 3
    asyncio.run(compete(name, times))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
