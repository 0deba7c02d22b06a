#!/usr/bin/env python3
"""Runs the scenarios in asyncio, in virtual time, and prints what happens.

Usage: oracle.py FILE...         prints the logs of the scenario files
       oracle.py --write         writes the golden logs of all of them

What the statements mean is in README.md; oracle_skua is the same in C.
"""
import asyncio
import concurrent.futures
import contextvars
import gc
import operator
import selectors
import sys

import scenario as texts


class Failure(Exception):
    """An error of the library, by the name that both sides give it."""


class Custom(Exception):
    pass


RAISED = {"zero": ZeroDivisionError, "value": ValueError, "key": KeyError, "type": TypeError,
          "runtime": RuntimeError, "custom": Custom}
NAMES = [(asyncio.CancelledError, "cancelled"),
         (concurrent.futures.CancelledError, "cancelled"), (TimeoutError, "timeout"),
         (asyncio.QueueFull, "again"), (asyncio.QueueEmpty, "again"),
         (asyncio.BrokenBarrierError, "broken")]
NAMES += [(error, name) for name, error in RAISED.items()]
COMPARE = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
           "<=": operator.le, ">=": operator.ge}


def name_of(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Failure):
        return error.args[0]
    return next((name for kind, name in NAMES if isinstance(error, kind)), repr(error))


def text_of(value):
    if isinstance(value, BaseException):
        return name_of(value)
    if isinstance(value, list):
        return "[" + " ".join(map(text_of, value)) + "]"
    return {None: "ok", True: "true", False: "false"}.get(value, str(value)) \
        if value is None or isinstance(value, bool) else str(value)


class Deadlock(BaseException):
    pass


class Selector(selectors.DefaultSelector):
    """Instead of waiting it moves the clock on, unless a thread is going to say something."""

    loop = None

    def select(self, timeout=None):
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.loop.threads > 0:
            return super().select(5)
        if timeout is None:
            raise Deadlock
        self.loop.now += timeout
        return []


class Loop(asyncio.SelectorEventLoop):
    """Its unit of time is that of the scenarios."""

    def __init__(self):
        selector = Selector()
        selector.loop = self
        self.now = 0
        self.threads = 0  # that run, and do not wait for this one
        super().__init__(selector)
        self._clock_resolution = 0.5  # all times are whole numbers

    def time(self):
        return self.now

    def run_in_executor(self, executor, func, *args):
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self.thread_ended)
        return future

    def thread_ended(self, _):
        self.threads -= 1

    async def shutdown_default_executor(self):
        self.threads += 1  # it makes one that waits for the others
        await super().shutdown_default_executor()
        self.threads -= 1


class Call:
    """A function that the loop is going to call, as what scenarios can cancel."""

    def __init__(self):
        self.is_over = False
        self.withdraw = None

    def cancel(self):
        if self.is_over:
            return False
        self.is_over = True
        self.withdraw()
        return True

    def done(self):
        return self.is_over


class Returned(Exception):
    pass


class Instance:
    """A task of the scenario."""

    def __init__(self, name, body):
        self.name = name
        self.body = body
        self.last = 0


class Run:
    """One scenario, being run."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.log = []
        self.objects = {}
        self.handles = {}
        self.reports = 0
        self.locals = {}

    # ---- running -----------------------------------------------------------------------------

    def run(self):
        runner = asyncio.Runner(loop_factory=Loop)
        self.loop = runner.get_loop()
        self.loop.set_exception_handler(self.report)
        try:
            with runner:
                runner.run(self.first())
        except Deadlock:
            self.log.append(f"{int(self.loop.now)} - deadlock")
        return self.log

    async def first(self):
        for kind, name, args in self.scenario.objects:
            self.objects[name] = self.make(kind, *args)
        self.handles["main"] = asyncio.current_task()
        try:
            await self.body(Instance("main", self.scenario.tasks["main"]))
        except BaseException as error:
            if isinstance(error, Deadlock):
                raise

    def report(self, _, context):
        if "exception" in context:
            self.reports += 1

    def make(self, kind, *args):
        if kind == "condition":
            return asyncio.Condition(*(self.objects[lock] for lock in args))
        args = [int(arg) for arg in args]
        if kind == "var":
            return args
        if kind == "local":
            return contextvars.ContextVar("local", default=0)
        return {"lock": asyncio.Lock, "semaphore": asyncio.Semaphore,
                "bounded": asyncio.BoundedSemaphore, "event": asyncio.Event,
                "barrier": asyncio.Barrier, "queue": asyncio.Queue, "lifo": asyncio.LifoQueue,
                "priority": asyncio.PriorityQueue,
                "future": self.loop.create_future}[kind](*args)

    def print(self, instance, text):
        self.log.append(f"{int(self.loop.now)} {instance.name} {text}")

    async def body(self, instance):
        """What a task does."""
        try:
            try:
                await self.block(instance, instance.body)
                value = None
            except Returned as returned:
                value = returned.args[0]
        except BaseException as error:
            self.print(instance, f"ends: {text_of(error)}")
            raise
        self.print(instance, f"ends: {text_of(value or 0)}")
        return value or 0

    async def block(self, instance, statements):
        for statement in statements:
            await self.statement(instance, statement)

    async def inner(self, instance, statements):
        """A block in an "async with", for which a return is no exception."""
        try:
            await self.block(instance, statements)
        except Returned as returned:
            return returned
        return None

    @staticmethod
    def leave(returned):
        if returned is not None:
            raise returned

    async def statement(self, instance, statement):
        words = [word.replace("$", instance.name) for word in statement.words]
        control = getattr(self, "control_" + words[0], None)
        if control is not None and (words[0] != "try" or statement.clauses):
            await control(instance, words, statement.clauses)
            return
        swallow = words[0] == "try"
        words = words[swallow:]
        try:
            value = await getattr(self, "do_" + words[0])(instance, *words[1:])
            self.print(instance, " ".join(words) + ": " + text_of(value))
            if isinstance(value, (int, bool)):
                instance.last = int(value)
        except BaseException as error:
            if isinstance(error, (Deadlock, Returned, AttributeError, AssertionError)):
                raise
            self.print(instance, " ".join(words) + ": " + text_of(error))
            if not swallow:
                raise

    def number(self, instance, word):
        if word == "last":
            return instance.last
        return self.objects[word][0] if word in self.objects else int(word)

    def holds(self, instance, left, compare, right):
        return COMPARE[compare](self.number(instance, left), self.number(instance, right))

    # ---- control -----------------------------------------------------------------------------

    async def control_note(self, instance, words, _):
        self.print(instance, " ".join(words))

    async def control_return(self, instance, words, _):
        raise Returned(self.number(instance, words[1]))

    async def control_raise(self, _, words, __):
        raise asyncio.CancelledError if words[1] == "cancelled" else RAISED[words[1]]()

    async def control_repeat(self, instance, words, clauses):
        for _ in range(int(words[1])):
            await self.block(instance, clauses[0][1])

    async def control_if(self, instance, words, clauses):
        if self.holds(instance, *words[1:4]):
            await self.block(instance, clauses[0][1])
        elif len(clauses) > 1:
            await self.block(instance, clauses[1][1])

    async def control_while(self, instance, words, clauses):
        while self.holds(instance, *words[1:4]):
            await self.block(instance, clauses[0][1])

    async def control_try(self, instance, _, clauses):
        blocks = {header[0]: (header, body) for header, body in clauses}
        try:
            try:
                await self.block(instance, clauses[0][1])
            except Returned:
                raise
            except BaseException as error:
                header, body = blocks.get("except", (None, None))
                if header is None or header[1] not in (name_of(error), "any"):
                    raise
                await self.block(instance, body)
        finally:
            if "finally" in blocks:
                await self.block(instance, blocks["finally"][1])

    async def control_shielded(self, instance, _, clauses):
        await self.block(instance, clauses[0][1])  # a cancel is one exception: nothing to do

    async def control_with(self, instance, words, clauses):
        entered = False
        try:
            async with self.objects[words[1]] as value:
                entered = True
                self.print(instance, " ".join(words) + ": " + text_of(value))
                instance.last = value or 0
                await self.block(instance, clauses[0][1])
        except BaseException as error:
            if not entered:
                self.print(instance, " ".join(words) + ": " + text_of(error))
            raise

    async def control_set(self, instance, words, _):
        thing = self.objects[words[1]]
        if isinstance(thing, list):
            thing[0] = self.number(instance, words[2])
        else:
            thing.set()

    async def control_add(self, instance, words, _):
        self.objects[words[1]][0] += self.number(instance, words[2])

    async def control_group(self, instance, words, clauses):
        label = " ".join(words)
        try:
            async with asyncio.TaskGroup() as group:
                self.objects[words[1]] = group
                returned = await self.inner(instance, clauses[0][1])
        except BaseExceptionGroup as error:
            names = " ".join(map(name_of, error.exceptions))
            self.print(instance, f"{label}: failed {names}")
            raise
        except asyncio.CancelledError as error:
            self.print(instance, f"{label}: {text_of(error)}")
            raise
        self.print(instance, f"{label}: ok")
        self.leave(returned)

    async def control_timeout(self, instance, words, clauses):
        """timeout [NAME] UNITS."""
        delay = None if words[-1] == "never" else int(words[-1])
        try:
            async with asyncio.timeout(delay) as timeout:
                if len(words) > 2:
                    self.objects[words[1]] = timeout
                returned = await self.inner(instance, clauses[0][1])
        except BaseException as error:
            self.print(instance, " ".join(words) + ": " + text_of(error))
            raise
        self.print(instance, " ".join(words) + ": ok")
        self.leave(returned)

    # ---- tasks -------------------------------------------------------------------------------

    def instances(self, words):
        """DEFINITION as NAME..., or DEFINITION..."""
        is_named = words[1:2] == ["as"]
        for name in words[2:] if is_named else words:
            yield Instance(name, self.scenario.tasks[words[0] if is_named else name])

    def spawn(self, instance, create):
        task = create(self.body(instance), name=instance.name)
        self.handles[instance.name] = task
        return task

    async def control_spawn(self, _, words, __):
        for instance in self.instances(words[1:]):
            self.spawn(instance, self.loop.create_task)

    async def control_start(self, _, words, __):
        for instance in self.instances(words[1:]):
            self.spawn(instance, self.loop.create_task)
            await asyncio.sleep(1)

    async def control_spawn_in(self, caller, words, __):
        group = self.objects[words[1]]
        for instance in self.instances(words[2:]):
            coroutine = self.body(instance)
            try:
                self.handles[instance.name] = group.create_task(coroutine, name=instance.name)
            except RuntimeError:
                coroutine.close()
                self.print(caller, f"spawn_in {words[1]} {instance.name}: refused")

    async def do_sleep(self, _, delay):
        await asyncio.sleep(int(delay))

    async def do_yield(self, _):
        await asyncio.sleep(0)

    def handle(self, name):
        if name == "self":
            return asyncio.current_task()
        return self.handles.get(name) or self.objects[name]

    def futures(self, names):
        return [self.handle(name) for name in names]

    async def do_await(self, _, name):
        try:
            return await self.handle(name)
        except RuntimeError as error:
            if "await on itself" in str(error):
                raise Failure("deadlock") from None
            raise

    async def do_cancel(self, _, name):
        return self.handle(name).cancel()

    async def do_done(self, _, name):
        return self.handle(name).done()

    async def do_cancelled(self, _, name):
        return self.handle(name).cancelled()

    async def do_result(self, _, name):
        try:
            return self.handle(name).result()
        except asyncio.InvalidStateError:
            raise Failure("again") from None

    async def do_complete(self, instance, name, value):
        try:
            self.handle(name).set_result(self.number(instance, value))
        except asyncio.InvalidStateError:
            raise Failure("already") from None

    async def do_fail(self, _, name, error):
        try:
            self.handle(name).set_exception(RAISED[error]())
        except asyncio.InvalidStateError:
            raise Failure("already") from None

    async def do_current(self, _, name):
        return asyncio.current_task() is self.handle(name)

    async def do_name(self, _):
        return asyncio.current_task().get_name()

    # ---- several -----------------------------------------------------------------------------

    async def wait(self, when, words):
        timeout = None
        if words[:1] == ("timeout",):
            timeout, words = int(words[1]), words[2:]
        futures = self.futures(words)
        try:
            done, _ = await asyncio.wait(futures, timeout=timeout, return_when=when)
        except ValueError:
            raise Failure("invalid") from None
        names = [name for name, future in zip(words, futures) if future in done]
        return " ".join(["done", *names])

    async def do_wait_all(self, _, *words):
        return await self.wait(asyncio.ALL_COMPLETED, words)

    async def do_wait_first(self, _, *words):
        return await self.wait(asyncio.FIRST_COMPLETED, words)

    async def do_wait_exception(self, _, *words):
        return await self.wait(asyncio.FIRST_EXCEPTION, words)

    async def do_gather(self, _, *names):
        return await asyncio.gather(*self.futures(names))

    async def do_gather_collect(self, _, *names):
        return await asyncio.gather(*self.futures(names), return_exceptions=True)

    async def do_gather_shields(self, _, *names):
        return await asyncio.gather(*map(asyncio.shield, self.futures(names)))

    async def do_wait_for(self, _, delay, name):
        return await asyncio.wait_for(self.handle(name), None if delay == "never" else int(delay))

    async def do_wait_for_shield(self, _, delay, name):
        return await asyncio.wait_for(asyncio.shield(self.handle(name)), int(delay))

    async def do_shield(self, _, name):
        return await asyncio.shield(self.handle(name))

    async def control_as_completed(self, instance, words, _):
        label, timeout, names = words[0], None, words[1:]
        if names[:1] == ["timeout"]:
            timeout, names = int(names[1]), names[2:]
        for future in asyncio.as_completed(self.futures(names), timeout=timeout):
            try:
                value = await future
            except Exception as error:
                value = error
            self.print(instance, f"{label}: {text_of(value)}")
            if isinstance(value, TimeoutError):
                break

    # ---- locks -------------------------------------------------------------------------------

    async def do_acquire(self, _, name):
        await self.objects[name].acquire()

    async def do_release(self, _, name):
        try:
            self.objects[name].release()
        except RuntimeError:
            raise Failure("perm") from None
        except ValueError:
            raise Failure("overflow") from None

    async def do_locked(self, _, name):
        return self.objects[name].locked()

    async def do_value(self, _, name):
        thing = self.objects[name]
        return thing[0] if isinstance(thing, list) else thing._value

    async def do_wait(self, _, name):
        try:
            value = await self.objects[name].wait()
        except RuntimeError as error:
            if isinstance(error, asyncio.BrokenBarrierError):
                raise
            raise Failure("perm") from None
        return None if value is True else value

    async def do_wait_until(self, instance, name, *condition):
        try:
            await self.objects[name].wait_for(lambda: self.holds(instance, *condition))
        except RuntimeError:
            raise Failure("perm") from None

    async def do_wait_within(self, _, delay, name):
        value = await asyncio.wait_for(self.objects[name].wait(), int(delay))
        return None if value is True else value

    async def do_acquire_within(self, _, delay, name):
        await asyncio.wait_for(self.objects[name].acquire(), int(delay))

    async def do_is_set(self, _, name):
        return self.objects[name].is_set()

    async def control_clear(self, _, words, __):
        self.objects[words[1]].clear()

    async def do_notify(self, _, name, count="1"):
        try:
            self.objects[name].notify(int(count))
        except RuntimeError:
            raise Failure("perm") from None

    async def do_notify_all(self, _, name):
        try:
            self.objects[name].notify_all()
        except RuntimeError:
            raise Failure("perm") from None

    async def do_new_barrier(self, _, parties):
        try:
            asyncio.Barrier(int(parties))
        except ValueError:
            raise Failure("invalid") from None

    async def do_reset(self, _, name):
        await self.objects[name].reset()

    async def do_abort(self, _, name):
        await self.objects[name].abort()

    async def do_waiting(self, _, name):
        return self.objects[name].n_waiting

    async def do_broken(self, _, name):
        return self.objects[name].broken

    # ---- queues ------------------------------------------------------------------------------

    async def do_put(self, instance, name, value):
        await self.objects[name].put(self.number(instance, value))

    async def do_get(self, _, name):
        return await self.objects[name].get()

    async def do_get_within(self, _, delay, name):
        return await asyncio.wait_for(self.objects[name].get(), int(delay))

    async def do_put_within(self, _, delay, name, value):
        await asyncio.wait_for(self.objects[name].put(int(value)), int(delay))

    async def do_join_within(self, _, delay, name):
        await asyncio.wait_for(self.objects[name].join(), int(delay))

    async def do_try_put(self, instance, name, value):
        self.objects[name].put_nowait(self.number(instance, value))

    async def do_try_get(self, _, name):
        return self.objects[name].get_nowait()

    async def do_task_done(self, _, name):
        try:
            self.objects[name].task_done()
        except ValueError:
            raise Failure("invalid") from None

    async def do_join(self, _, name):
        await self.objects[name].join()

    async def do_size(self, _, name):
        return self.objects[name].qsize()

    # ---- deadlines ---------------------------------------------------------------------------

    async def do_reschedule(self, _, name, delay):
        self.objects[name].reschedule(None if delay == "never" else self.loop.time() + int(delay))

    async def do_expired(self, _, name):
        return self.objects[name].expired()

    async def do_when(self, _, name):
        when = self.objects[name].when()
        return "never" if when is None else int(when)

    # ---- calls, threads ----------------------------------------------------------------------

    def call(self, instance, *_):
        """Runs a body that does not wait."""
        try:
            self.body(instance).send(None)
        except StopIteration as ended:
            return ended.value
        raise AssertionError(f"{instance.name} waits")

    def schedule(self, words, schedule):
        for instance in self.instances(words):
            call = self.handles[instance.name] = Call()

            def fire(instance=instance, call=call):
                call.is_over = True
                self.call(instance)

            call.withdraw = schedule(fire).cancel

    async def control_call_later(self, _, words, __):
        self.schedule(words[2:], lambda fire: self.loop.call_later(int(words[1]), fire))

    async def control_call_at(self, _, words, __):
        self.schedule(words[2:], lambda fire: self.loop.call_at(int(words[1]), fire))

    async def control_call_soon(self, _, words, __):
        self.schedule(words[1:], self.loop.call_soon)

    async def control_then(self, _, words, __):
        future = self.handle(words[1])
        for instance in self.instances(words[2:]):
            call = self.handles[instance.name] = Call()

            def fire(_, instance=instance, call=call):
                call.is_over = True
                self.call(instance)

            call.withdraw = lambda fire=fire: future.remove_done_callback(fire)
            future.add_done_callback(fire)

    async def do_thread(self, _, name):
        instance = Instance(name, self.scenario.tasks[name])
        return await asyncio.to_thread(self.call, instance)

    async def control_start_thread(self, _, words, __):
        for instance in self.instances(words[1:]):
            context = contextvars.copy_context()
            self.handles[instance.name] = self.loop.run_in_executor(
                None, context.run, self.call, instance)

    async def do_submit(self, _, name):
        """In a thread: has a task run by the loop and waits for it."""
        instance = Instance(name, self.scenario.tasks[name])

        async def body():
            self.loop.threads -= 1  # it waits for this
            try:
                return await self.body(instance)
            finally:
                self.loop.threads += 1

        return asyncio.run_coroutine_threadsafe(body(), self.loop).result()

    async def do_run(self, _, name):
        coroutine = self.body(Instance(name, self.scenario.tasks[name]))
        try:
            asyncio.run(coroutine)
        except RuntimeError:
            raise Failure("perm") from None
        finally:
            coroutine.close()

    # ---- the rest ----------------------------------------------------------------------------

    async def control_set_local(self, instance, words, _):
        self.objects[words[1]].set(self.number(instance, words[2]))

    async def do_local(self, _, name):
        return self.objects[name].get()

    async def control_drop(self, _, words, __):
        self.handles.pop(words[1], None) or self.objects.pop(words[1])
        await asyncio.sleep(0)
        gc.collect()

    async def do_reports(self, _):
        gc.collect()
        return self.reports


def logs_of(path):
    lines = []
    for scenario in texts.read(path):
        lines += [f"== {scenario.name}", *texts.compared(scenario, Run(scenario).run())]
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] == ["--write"]:
        texts.GOLDEN.mkdir(exist_ok=True)
        for path in texts.paths():
            texts.golden_path(path).write_text(logs_of(path))
        texts.DIFFERENCES_ASYNCIO.write_text(logs_of(texts.DIFFERENCES))
        return
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        sys.stdout.write(logs_of(texts.pathlib.Path(path)))


if __name__ == "__main__":
    main()
