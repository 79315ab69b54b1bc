"""The tasks of a program that uses weft, in gdb: of a live process and of a core.

    (gdb) source weft.py
    (gdb) weft tasks                  # a line for each
    (gdb) weft bt 7                   # where task 7 waits
    (gdb) weft select 7               # now bt, frame, up and info locals are about task 7
    (gdb) weft select off
    (gdb) weft apply all bt -3        # a command for each

It needs the program's symbols, but no debug information: `strip -g` leaves enough. It reads, and
never writes to the process. Which cores have the stacks: see `help weft`.

How it works: weft_roster and weft_layout, two variables of weft, say where the fibers are and how
they are laid out (fiber/core/roster.h). The registers of a fiber that does not run lie on its
stack. An unwinder says to gdb that the thread's innermost function was called by that fiber.
"""

import re
import struct

import gdb
import gdb.FrameDecorator
import gdb.unwinder

LAYOUT_VERSION = 1

# The numbers of weft_layout, in their order.
LAYOUT_FIELDS = """
    version
    scheduler_next scheduler_number scheduler_thread scheduler_thread_id
    scheduler_own_pools scheduler_visitors_pools scheduler_idle_runner running_fiber
    pool_stride pool_slabs slab_base slab_used slab_size colours colour_step
    fiber_size fiber_live fiber_done fiber_id fiber_name fiber_name_size fiber_waiter
    fiber_parked_at parked_size
    waiter_what owned_wait_name
    """.split()

# The program counter, the stack pointer, and where Boost.Context saves registers: in bytes from the
# end of what it saves, where the stack goes on.
SAVED_REGISTERS = {
    "i386:x86-64": ("rip", "rsp", {"rip": -0x08, "rbp": -0x10, "rbx": -0x18, "r15": -0x20,
                                   "r14": -0x28, "r13": -0x30, "r12": -0x38}),
    "aarch64": ("pc", "sp", {"pc": -0x10, "x30": -0x18, "x29": -0x20,
                             **{f"x{19 + i}": -0x70 + 8 * i for i in range(10)}}),
}

MOST_FRAMES = 64  # are looked at for a function of the program


# ---- Memory -------------------------------------------------------------------------------------


def read_memory(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        raise gdb.GdbError(f"weft: the memory at {address:#x} cannot be read. If this is a core, "
                           "it lacks what `help weft` says that it needs.")


def read_number(address, size=8):
    return int.from_bytes(read_memory(address, size), "little")


def read_string(address):
    try:
        return gdb.Value(address).cast(gdb.lookup_type("char").pointer()).string(errors="replace")
    except gdb.MemoryError:
        read_memory(address, 1)
        raise


def read_vector(address, item_size):
    begin, end = struct.unpack("<QQ", read_memory(address, 16))
    return range(begin, end, item_size)


def read_layout(address):
    version = read_number(address, 4)
    if version != LAYOUT_VERSION:
        raise gdb.GdbError(f"weft: the program's weft has layout {version}, and this script is for "
                           f"layout {LAYOUT_VERSION}: use the script of the same weft")
    count = len(LAYOUT_FIELDS)
    return dict(zip(LAYOUT_FIELDS, struct.unpack(f"<{count}I", read_memory(address, 4 * count))))


# ---- Tasks --------------------------------------------------------------------------------------


class WeftScheduler:
    """A scheduler, with the fibers that have not ended."""

    def __init__(self, layout, address):
        self.layout = layout
        self.address = address
        self.number = self._number("scheduler_number", 4)
        self.thread_id = self._number("scheduler_thread_id", 4)  # 0: no thread runs it
        idle = self._number("scheduler_idle_runner")
        running = 0
        if self.thread_id:
            running = read_number(self._number("scheduler_thread") + layout["running_fiber"])
        blocks = [(fiber, read_memory(fiber, layout["fiber_size"])) for fiber in self._fibers()]
        # One stack is kept as long as the scheduler lives.
        if self.thread_id and not any(block.strip(b"\0") for _, block in blocks):
            raise gdb.GdbError("weft: the stacks of the tasks are missing in this core: see `help "
                               "weft`")
        tasks = [WeftTask(layout, block, self.thread_id if fiber == running else None)
                 for fiber, block in blocks if fiber != idle]
        self.tasks = sorted((task for task in tasks if task.is_alive), key=lambda task: task.id)

    def heading(self):
        if not self.thread_id:
            return f"scheduler {self.number} does not run now"
        return f"scheduler {self.number} on {thread_name(self.thread_id)}"

    def _number(self, field, size=8):
        return read_number(self.address + self.layout[field], size)

    def _fibers(self):
        layout = self.layout
        for field in "scheduler_own_pools", "scheduler_visitors_pools":
            for place in read_vector(self.address + layout[field], 8):
                pool = read_number(place)
                stride = read_number(pool + layout["pool_stride"])
                for slab in read_vector(pool + layout["pool_slabs"], layout["slab_size"]):
                    base = read_number(slab + layout["slab_base"])
                    for i in range(read_number(slab + layout["slab_used"])):
                        stagger = i % layout["colours"] * layout["colour_step"]
                        yield base + (i + 1) * stride - stagger - layout["fiber_size"]


class WeftTask:
    """A fiber, from its control block."""

    def __init__(self, layout, block, thread_id):
        def number(field, size=8):
            return int.from_bytes(block[layout[field]:][:size], "little")

        self.id = number("fiber_id")
        name = block[layout["fiber_name"]:][:number("fiber_name_size", 1)]
        self.name = name.decode(errors="replace")
        self.is_alive = number("fiber_live", 1) != 0 and number("fiber_done", 1) == 0
        self.thread_id = thread_id  # of the thread that it runs on now, or None
        self.parked_at = number("fiber_parked_at") if thread_id is None else 0
        self.parked_size = layout["parked_size"]
        waiter = number("fiber_waiter")
        if thread_id is not None:
            self.state = f"runs on {thread_name(thread_id)}"
        elif self.is_alive and self.parked_at and waiter:
            what = read_number(waiter + layout["waiter_what"])
            name = read_string(what) or read_string(read_number(what + layout["owned_wait_name"]))
            self.state = f"waits in {name}"
        else:
            self.state = "is ready"

    def heading(self):
        name = f' "{self.name}"' if self.name else ""
        return f"task {self.id}{name} {self.state}"


def find_thread(thread_id):
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == thread_id:
            return thread
    return None


def thread_name(thread_id):
    thread = find_thread(thread_id)
    return f"thread {thread.num}" if thread else f"thread LWP {thread_id}"


def all_schedulers():
    try:
        roster = int(gdb.parse_and_eval("(unsigned long)&weft_roster"))
    except gdb.error:
        raise gdb.GdbError("weft: this program has no weft, or has lost its symbols: `strip -g` "
                           "keeps what is needed, `strip` does not")
    layout = read_layout(read_number(roster))
    address = read_number(roster + 8)
    while address:
        yield WeftScheduler(layout, address)
        address = read_number(address + layout["scheduler_next"])


def all_tasks():
    return [task for scheduler in all_schedulers() for task in scheduler.tasks]


def find_task(text):
    if not re.fullmatch("[0-9]+", text):
        raise gdb.GdbError(f"weft: a task is named by its number, as `weft tasks` shows it: {text}")
    for task in all_tasks():
        if task.id == int(text):
            return task
    raise gdb.GdbError(f"weft: there is no task {text}; it may have ended")


# ---- The frames of a task -----------------------------------------------------------------------


class FrameId:
    """As gdb.unwinder.FrameId, which gdb has from version 14 on."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class ParkedTask:
    """A task in the place of the selected thread: what gdb is to take for the caller of the
    thread's innermost frame."""

    def __init__(self, task):
        frame = gdb.newest_frame()
        architecture = frame.architecture()
        if architecture.name() not in SAVED_REGISTERS:
            raise gdb.GdbError(f"weft: the script does not know {architecture.name()}")
        self.pc, self.sp, saved = SAVED_REGISTERS[architecture.name()]
        self.place = self.place_of(frame)
        word = architecture.integer_type(64, False)
        end = task.parked_at + task.parked_size
        self.registers = {self.sp: gdb.Value(end).cast(word)}
        for register, offset in saved.items():
            self.registers[register] = gdb.Value(read_number(end + offset)).cast(word)
        # On the stack of the task: if it were on the thread's, and that lay above, gdb would take
        # the stack for a broken one.
        self.frame_id = FrameId(gdb.Value(task.parked_at).cast(word), self.registers[self.pc])

    def place_of(self, frame):
        return (gdb.selected_inferior().num, int(frame.read_register(self.pc)),
                int(frame.read_register(self.sp)))

    def is_threads(self, frame):
        """Whether that is the thread's innermost frame, or a function that is inlined there."""
        try:
            return self.place_of(frame) == self.place
        except (gdb.error, ValueError):
            return False


class WeftUnwinder(gdb.unwinder.Unwinder):
    def __init__(self):
        super().__init__("weft")
        self.parked = None  # the ParkedTask that is selected

    def select(self, parked):
        if parked is not self.parked:
            self.parked = parked
            gdb.invalidate_cached_frames()

    def __call__(self, frame):
        if self.parked is None or not self.parked.is_threads(frame):
            return None
        info = frame.create_unwind_info(self.parked.frame_id)
        for register, value in self.parked.registers.items():
            info.add_saved_register(register, value)
        return info


class TaskFrame(gdb.FrameDecorator.FrameDecorator):
    """Names a function as gdb does where no filter is used: without the types of parameters."""

    def function(self):
        function = super().function()
        return self.inferior_frame().name() if isinstance(function, str) else function


class WeftFrameFilter:
    """Leaves out of the backtrace of a task what is the thread's, and what gdb finds below the
    task's first function."""

    name = "weft"
    priority = 100

    @property
    def enabled(self):
        return weft_unwinder.parked is not None

    def filter(self, frames):
        return (TaskFrame(frame) for frame in frames if self._is_of_task(frame.inferior_frame()))

    def _is_of_task(self, frame):
        return not weft_unwinder.parked.is_threads(frame) and frame.pc() != 0


def show_task(task):
    """Selects the innermost frame of a task: a running one is on its thread."""
    weft_unwinder.select(None)
    if task.parked_at:
        if gdb.selected_thread() is None:
            raise gdb.GdbError("weft: no thread is selected in whose place a task could be shown")
        weft_unwinder.select(ParkedTask(task))
        frame = gdb.newest_frame()
        while frame is not None and weft_unwinder.parked.is_threads(frame):
            frame = frame.older()
        if frame is None:
            raise gdb.GdbError(f"weft: the stack of task {task.id} cannot be read")
        frame.select()
        return
    thread = find_thread(task.thread_id)
    if thread is None:
        raise gdb.GdbError(f"weft: gdb does not know where task {task.id} is: it {task.state}")
    thread.switch()
    gdb.newest_frame().select()


class KeepSelection:
    """What is selected when it begins is selected when it ends."""

    def __enter__(self):
        self.thread = gdb.selected_thread()
        self.parked = weft_unwinder.parked
        self.level = gdb.selected_frame().level() if self.thread else 0

    def __exit__(self, *_):
        weft_unwinder.select(self.parked)
        if self.thread is None:
            return
        self.thread.switch()
        frame = gdb.newest_frame()
        while frame.level() < self.level and frame.older() is not None:
            frame = frame.older()
        frame.select()


# ---- The names of functions ---------------------------------------------------------------------


def scope_of(name):
    """weft::f of void weft::f<int>(g()) const: without what is in brackets, and the result."""
    brackets = r"<[^<>()\[\]{}]*>|\([^<>()\[\]{}]*\)|\[[^<>()\[\]{}]*\]|\{[^<>()\[\]{}]*\}"
    while True:
        shorter = re.sub(brackets, "", name)
        if shorter == name:
            break
        name = shorter
    words = [word for word in name.split() if word not in ("const", "volatile", "&", "&&")]
    return words[-1] if words else ""


def is_plumbing(name):
    """What lies between the program's functions on a task's stack: see is_plumbing in symbols.h."""
    scope = scope_of(name)
    return (scope.startswith(("weft::", "std::", "boost::context::", "__gnu_cxx::")) or
            scope.endswith("_fcontext"))


def is_of_program(frame):
    """Debug information may name a function without its scope, which its symbol has. What is inlined
    into plumbing counts as plumbing, as it does without debug information."""
    if not frame.name() or is_plumbing(frame.name()):
        return False
    symbol = gdb.execute(f"info symbol {frame.pc() - 1:#x}", to_string=True)
    return not is_plumbing(re.sub(r"( \+ \d+)? in section .*", "", symbol.strip()))


def innermost_function():
    """The program's own, from the selected frame on; empty if there is none."""
    frame = gdb.selected_frame()
    for _ in range(MOST_FRAMES):
        if is_of_program(frame):
            return frame.name()
        frame = frame.older()
        if frame is None:
            break
    return ""


# ---- The commands -------------------------------------------------------------------------------


class WeftCommand(gdb.Command):
    """The tasks of a program that uses weft.

A task that waits is shown in the place of the selected thread. Nothing is written to the process.

A core has to have the stacks. The kernel writes them, unless the core is cut short by `ulimit -c`,
or bit 0 of /proc/PID/coredump_filter is not set. gdb's own gcore leaves them out on Linux 6.13 and
later, where markers guard weft's stacks: it gives up a mapping at the first page that it cannot
read."""

    def __init__(self):
        super().__init__("weft", gdb.COMMAND_STACK, prefix=True)


class WeftTasksCommand(gdb.Command):
    """Lists the tasks: number, name, state, and the innermost function that is not weft's.
Usage: weft tasks

A task runs on a thread, waits in a call, or is ready to run."""

    def __init__(self):
        super().__init__("weft tasks", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if argument:
            raise gdb.GdbError("Usage: weft tasks")
        schedulers = list(all_schedulers())
        tasks = [task for scheduler in schedulers for task in scheduler.tasks]
        if not tasks:
            print("No tasks.")
            return
        widths = [max(len(str(column(task))) for task in tasks)
                  for column in (lambda task: task.id, lambda task: task.name,
                                 lambda task: task.state)]
        with KeepSelection():
            for scheduler in schedulers:
                if len(schedulers) > 1:
                    print(scheduler.heading())
                for task in scheduler.tasks:
                    self._print(task, *widths)

    @staticmethod
    def _print(task, id_width, name_width, state_width):
        line = f"{task.id:>{id_width}}  {task.name:{name_width}}  {task.state:{state_width}}  "
        try:
            show_task(task)
            line += innermost_function()
        except gdb.GdbError:  # the list has the others
            pass
        print(line.rstrip())


class WeftBacktraceCommand(gdb.Command):
    """Prints the backtrace of a task.
Usage: weft bt ID [ARGUMENT]...

The arguments are those of gdb's backtrace: `weft bt 7 -full`, `weft bt 7 5`."""

    def __init__(self):
        super().__init__("weft bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("Usage: weft bt ID [ARGUMENT]...")
        number, *arguments = argument.split(None, 1)
        task = find_task(number)
        with KeepSelection():
            show_task(task)
            gdb.execute(" ".join(["backtrace", *arguments]), from_tty)


class WeftSelectCommand(gdb.Command):
    """Makes gdb's own commands act on a task: bt, frame, up, down, info locals and others.
Usage: weft select ID
       weft select off

The task is shown in the place of the selected thread until `weft select off`, or until the program
runs. Frame 0 is still the thread's own, which bt leaves out; what comes after it is the task's. If
the task runs, its thread is selected."""

    def __init__(self):
        super().__init__("weft select", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("Usage: weft select ID, or weft select off")
        if argument == "off":
            weft_unwinder.select(None)
            return
        task = find_task(argument)
        try:
            show_task(task)
        except BaseException:
            weft_unwinder.select(None)
            raise
        print(task.heading())
        gdb.execute("frame", from_tty)


class WeftApplyCommand(gdb.Command):
    """Runs a command for tasks.
Usage: weft apply all COMMAND"""

    def __init__(self):
        super().__init__("weft apply", gdb.COMMAND_STACK, prefix=True)


class WeftApplyAllCommand(gdb.Command):
    """Runs a command for each task, as `thread apply all` does for each thread.
Usage: weft apply all COMMAND

For example `weft apply all bt`. While the command runs, the innermost frame of the task is
selected. If it fails, it is not run for the tasks that are left."""

    def __init__(self):
        super().__init__("weft apply all", gdb.COMMAND_STACK, gdb.COMPLETE_COMMAND)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("Usage: weft apply all COMMAND")
        with KeepSelection():
            for task in all_tasks():
                print(f"\n{task.heading()}")
                show_task(task)
                gdb.execute(argument, from_tty)


weft_unwinder = WeftUnwinder()
gdb.unwinder.register_unwinder(None, weft_unwinder, replace=True)
gdb.frame_filters["weft"] = WeftFrameFilter()
for event in gdb.events.cont, gdb.events.exited:
    event.connect(lambda _: weft_unwinder.select(None))
for command in (WeftCommand, WeftTasksCommand, WeftBacktraceCommand, WeftSelectCommand,
                WeftApplyCommand, WeftApplyAllCommand):
    command()
