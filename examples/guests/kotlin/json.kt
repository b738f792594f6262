// Reads JSON, changes it, and writes it: trees of objects of a sealed class, strings, and an exception with its place
// for everything that is not JSON.

private sealed class Json {
    data object Null : Json()
    data class Bool(val value: Boolean) : Json()
    data class Num(val value: Long) : Json()
    data class Str(val value: String) : Json()
    data class Arr(val items: List<Json>) : Json()
    data class Obj(val fields: Map<String, Json>) : Json()
}

private class Wrong(val line: Int, val column: Int, what: String) : Exception("$line:$column: $what")

private class Reader(private val text: String) {
    private var at = 0

    fun whole(): Json {
        val value = value(0)
        space()
        if (at < text.length) wrong("something is left over")
        return value
    }

    private fun wrong(what: String): Nothing {
        val before = text.substring(0, at)
        throw Wrong(before.count { it == '\n' } + 1, at - (before.lastIndexOf('\n') + 1) + 1, what)
    }

    private fun space() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private fun peek(): Char = text.getOrNull(at) ?: wrong("the text ends too early")

    private fun expect(c: Char) {
        if (peek() != c) wrong("expected '$c', found '${peek()}'")
        at++
    }

    private fun value(depth: Int): Json {
        if (depth > 200) wrong("too deep")
        space()
        return when (val c = peek()) {
            '{' -> Json.Obj(fields(depth))
            '[' -> Json.Arr(items(depth))
            '"' -> Json.Str(string())
            't' -> word("true", Json.Bool(true))
            'f' -> word("false", Json.Bool(false))
            'n' -> word("null", Json.Null)
            '-', in '0'..'9' -> number()
            else -> wrong("no value begins with '$c'")
        }
    }

    private fun word(word: String, value: Json): Json {
        if (!text.startsWith(word, at)) wrong("no such word")
        at += word.length
        return value
    }

    private fun number(): Json {
        val start = at
        if (peek() == '-') at++
        while (at < text.length && text[at] in '0'..'9') at++
        return Json.Num(text.substring(start, at).toLongOrNull() ?: wrong("no number, or too large a one"))
    }

    private fun string(): String {
        expect('"')
        val out = StringBuilder()
        while (true) {
            val c = peek()
            at++
            when {
                c == '"' -> return out.toString()
                c == '\\' -> out.append(escape())
                c < ' ' -> wrong("a control character in a string")
                else -> out.append(c)
            }
        }
    }

    private fun escape(): Char {
        val c = peek()
        at++
        return when (c) {
            'n' -> '\n'
            't' -> '\t'
            'r' -> '\r'
            'b' -> '\b'
            'f' -> '\u000c'
            '"', '\\', '/' -> c
            'u' -> {
                val digits = text.substring(at, minOf(at + 4, text.length))
                at += digits.length
                (digits.toIntOrNull(16)?.takeIf { digits.length == 4 } ?: wrong("no four digits")).toChar()
            }
            else -> wrong("no such escape")
        }
    }

    private fun items(depth: Int): List<Json> {
        val items = ArrayList<Json>()
        list('[', ']') { items.add(value(depth + 1)) }
        return items
    }

    private fun fields(depth: Int): Map<String, Json> {
        val fields = LinkedHashMap<String, Json>()
        list('{', '}') {
            val name = string()
            space()
            expect(':')
            if (fields.put(name, value(depth + 1)) != null) wrong("a second field \"$name\"")
        }
        return fields
    }

    private inline fun list(open: Char, close: Char, item: () -> Unit) {
        expect(open)
        space()
        if (peek() == close) {
            at++
            return
        }
        while (true) {
            space()
            item()
            space()
            if (peek() == close) {
                at++
                return
            }
            expect(',')
        }
    }
}

private fun quoted(text: String): String = buildString {
    append('"')
    for (c in text) when {
        c == '"' || c == '\\' -> append('\\').append(c)
        c == '\n' -> append("\\n")
        c < ' ' || c > '~' -> append("\\u").append(c.code.toString(16).padStart(4, '0'))
        else -> append(c)
    }
    append('"')
}

private fun write(value: Json, out: StringBuilder) {
    when (value) {
        is Json.Null -> out.append("null")
        is Json.Bool -> out.append(value.value)
        is Json.Num -> out.append(value.value)
        is Json.Str -> out.append(quoted(value.value))
        is Json.Arr -> value.items.forEachIndexed { i, item ->
            out.append(if (i == 0) "[" else ",")
            write(item, out)
        }.also { out.append(if (value.items.isEmpty()) "[]" else "]") }
        is Json.Obj -> value.fields.entries.forEachIndexed { i, (name, field) ->
            out.append(if (i == 0) "{" else ",").append(quoted(name)).append(':')
            write(field, out)
        }.also { out.append(if (value.fields.isEmpty()) "{}" else "}") }
    }
}

private fun text(value: Json) = StringBuilder().also { write(value, it) }.toString()

private fun sorted(value: Json): Json = when (value) {
    is Json.Arr -> Json.Arr(value.items.map(::sorted))
    is Json.Obj -> Json.Obj(value.fields.entries.sortedBy { it.key }.associate { it.key to sorted(it.value) })
    else -> value
}

private fun sum(value: Json): Long = when (value) {
    is Json.Num -> value.value
    is Json.Arr -> value.items.sumOf(::sum)
    is Json.Obj -> value.fields.values.sumOf(::sum)
    else -> 0
}

private val STATIONS = """
    { "stations": [
        {"name": "Aalen", "level": 141, "open": true, "tags": []},
        {"name": "B\u00fcrg \"low\"", "level": -12, "open": false, "tags": ["tide", "n\n"]},
        {"level": 9007199254740993, "name": "Celle", "open": null, "tags": [[[{}]]]}
      ], "made": "2026-11-30" }
""".trimIndent()

private val BAD = listOf(
    "", "[1, 2", "[1 2]", "{\"a\": 1,\n \"a\": 2}", "[\n  1,\n  nul\n]", "\"a\nb\"", "[\"\\x\"]", "\"\\u12\"", "-", "[1] 2",
    "99999999999999999999", "[".repeat(300),
)

fun main() {
    val stations = Reader(STATIONS).whole()
    println(text(stations))
    println(text(sorted(stations)))
    println(Reader(text(stations)).whole() == stations)
    println(sum(stations))
    for (bad in BAD) {
        val found = try {
            text(Reader(bad).whole())
        } catch (e: Wrong) {
            "${e.message} (line ${e.line}, column ${e.column})"
        }
        println("${bad.take(12).replace("\n", "\\n")}: $found")
    }
    // A large document, made, written, read and compared.
    val large = Json.Arr((0 until 3000).map { n ->
        Json.Obj(mapOf("n" to Json.Num(n.toLong()), "square" to Json.Num(n.toLong() * n), "name" to Json.Str("no. $n")))
    })
    val written = text(large)
    val read = Reader(written).whole()
    println("${written.length} characters, ${written.hashCode()}, ${read == large}, sum ${sum(read)}")
}
