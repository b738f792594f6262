# What run.sh has MicroPython do. Everything here that goes wrong is an exception of WebAssembly.
# CPython prints the same. The argument is a folder to work in.
import json
import os
import sys


class Refused(Exception):
    pass


class Overdrawn(Refused):
    def __init__(self, name, missing):
        super().__init__(name + " lacks " + str(missing))
        self.missing = missing


def section(title):
    print("--", title)


# Raising, catching, and the order in which things happen

accounts = {"ada": 40, "ben": 5}


def pay(payer, payee, amount):
    if amount <= 0:
        raise ValueError("an amount of " + str(amount))
    if accounts[payer] < amount:
        raise Overdrawn(payer, amount - accounts[payer])
    accounts[payer] -= amount
    accounts[payee] += amount


def attempt(payer, payee, amount):
    steps = ["try"]
    try:
        pay(payer, payee, amount)
    except Overdrawn as error:
        steps.append("overdrawn by " + str(error.missing))
    except Refused:
        steps.append("never")
    except (KeyError, ValueError) as error:
        steps.append(type(error).__name__ + " " + str(error.args[0]))
    else:
        steps.append("paid")
    finally:
        steps.append("finally")
    print(payer, payee, amount, steps)


section("accounts")
attempt("ada", "ben", 30)
attempt("ada", "ben", 30)
attempt("eve", "ben", 1)
attempt("ada", "ben", 0)
print(sorted(accounts.items()))


def first_return():
    for number in range(3):
        try:
            if number == 1:
                return "left in turn 1"
        finally:
            print("cleared up after", number)


section("finally")
print(first_return())
try:
    try:
        1 // 0
    finally:
        print("before it goes on")
except ZeroDivisionError:
    print("division")
try:
    try:
        [].pop()
    except IndexError:
        raise KeyError("another one")
except KeyError as error:
    print("instead:", error.args[0])
try:
    try:
        int("twelve")
    except ValueError:
        raise
except ValueError:
    print("again")


# With many frames in between, and many times

def down(depth):
    if depth == 0:
        raise Refused("from below")
    try:
        down(depth - 1)
    finally:
        unwound.append(depth)


section("depth")
unwound = []
try:
    down(60)
except Refused as error:
    print(error, len(unwound), sum(unwound))


def endless(n):
    return endless(n + 1) + 1


try:
    endless(0)
except RuntimeError:
    print("too deep, and still here")

section("often")
caught = 0
# With 30,000 turns, this MicroPython frees what it still uses: its collector cannot see the locals
# of Wasm. wasmtime 50 ends with a fault at the same address.
for number in range(3000):
    try:
        if number % 3:
            raise Refused(number)
    except Refused:
        caught += 1
print(caught)


# Generators and contexts

def readings():
    value = 0
    try:
        while True:
            try:
                value += 1
                yield value
            except Refused as error:
                yield "heard " + str(error)
    finally:
        print("closed")


section("generators")
generator = readings()
print(next(generator), next(generator), generator.throw(Refused("no more")), next(generator))
generator.close()
try:
    next(generator)
except StopIteration:
    print("it is over")


def inner():
    yield 1
    yield 2
    return "inner's result"


def outer():
    result = yield from inner()
    yield result


print(list(outer()), sum(n * n for n in range(100) if n % 7 == 0))


class Guard:
    def __init__(self, name, keep):
        self.name, self.keep = name, keep

    def __enter__(self):
        print("enter", self.name)
        return self

    def __exit__(self, kind, error, trace):
        print("exit", self.name, kind.__name__ if kind else None)
        return self.keep


with Guard("outside", True):
    with Guard("inside", False):
        raise OSError(5)
with Guard("quiet", False):
    pass


# Files

section("files")
folder = sys.argv[1]
path = folder + "/numbers.txt"
with open(path, "w") as file:
    for number in range(1000):
        file.write(str(number * number) + "\n")
with open(path, "a") as file:
    file.write("end\n")
total, bad = 0, []
with open(path) as file:
    for line in file:
        try:
            total += int(line)
        except ValueError:
            bad.append(line.strip())
print(total, bad)
with open(path, "rb") as file:
    file.seek(-4, 2)
    print(file.read())
try:
    open(folder + "/missing.txt")
except OSError as error:
    # Linux and WASI number it differently.
    print("no such file:", error.errno in (2, 44))
record = {"name": "numbers", "sum": total, "list": [1, 2.5, None, True, "\u00e4"]}
with open(folder + "/record.json", "w") as file:
    file.write(json.dumps(record))
with open(folder + "/record.json") as file:
    print(json.loads(file.read()) == record)
os.rename(path, folder + "/renamed.txt")
print(sorted(os.listdir(folder)))
for name in os.listdir(folder):
    os.remove(folder + "/" + name)
print(os.listdir(folder))
try:
    json.loads("{not json")
except ValueError:
    print("no JSON")

section("end")
sys.exit(7)
