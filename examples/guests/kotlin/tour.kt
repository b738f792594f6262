// A tour through what a program in Kotlin makes of objects: casts, interfaces, generics, lambdas, generators, exceptions
// with `finally`, arrays of every width, boxed numbers as keys, and strings.

private interface Shape {
    val area: Int
}

private open class Rectangle(val width: Int, val height: Int) : Shape {
    override val area get() = width * height
    override fun toString() = "$width by $height"
}

private class Square(side: Int) : Rectangle(side, side)

private class Group(val shapes: List<Shape>) : Shape {
    override val area get() = shapes.sumOf { it.area }
}

private fun describe(value: Any?): String = when (value) {
    null -> "nothing"
    is Square -> "a square of ${value.width}"
    is Rectangle -> "a rectangle, $value"
    is Shape -> "a shape of ${value.area}"
    is Int -> "an int, ${value + 1}"
    is Long -> "a long, ${value + 1}"
    is String -> "a string of ${value.length}"
    is IntArray -> "ints, ${value.sum()}"
    is List<*> -> "a list: " + value.joinToString("; ") { describe(it) }
    is Function0<*> -> "a function with ${value()}"
    else -> "something else"
}

private fun casts() {
    val values = listOf(
        null, Square(4), Rectangle(2, 3), Group(listOf(Square(1), Rectangle(5, 5))), 41, 41L, "four", intArrayOf(1, 2, 3),
        listOf(1, "b", listOf<Any?>(null)), { "a result" }, 'c',
    )
    for (value in values) println(describe(value))
    val shape: Any = Rectangle(1, 2)
    println((shape as? Square)?.width ?: "not a square")
    try {
        println((shape as Square).width)
    } catch (e: ClassCastException) {
        println("a failed cast is an exception")
    }
    try {
        val nothing: String? = values[0] as String?
        println(nothing!!.length)
    } catch (e: NullPointerException) {
        println("so is null")
    }
}

private fun arrays() {
    val bytes = ByteArray(1000) { (it * 7).toByte() }
    val shorts = ShortArray(1000) { (it * 777).toShort() }
    val chars = CharArray(26) { 'a' + it }
    val longs = LongArray(100) { 1L shl (it % 63) }
    val doubles = DoubleArray(100) { it / 4.0 }
    println("${bytes.sum()} ${shorts.sum()} ${chars.concatToString()} ${longs.sum()} ${doubles.sum()}")
    bytes.copyInto(bytes, 10, 0, 500)
    bytes.fill(9, 900)
    println("${bytes[9]} ${bytes[10]} ${bytes[11]} ${bytes.sum()} ${bytes.contentHashCode()}")
    val grid = Array(20) { row -> IntArray(20) { row * it } }
    println(grid.sumOf { it.sum() })
    val words = arrayOf("pear", "apple", "fig", "quince", "lime")
    words.sortBy { it.length * 100 + it[0].code }
    println(words.joinToString())
    try {
        println(bytes[bytes.size])
    } catch (e: IndexOutOfBoundsException) {
        println("outside of the array")
    }
}

private class Refused(val number: Int) : Exception("refused $number")

private fun deep(depth: Int, log: MutableList<Int>): Int {
    if (depth == 0) throw Refused(log.size)
    try {
        return deep(depth - 1, log) + 1
    } finally {
        log.add(depth)
    }
}

private fun exceptions() {
    val log = ArrayList<Int>()
    try {
        deep(80, log)
    } catch (e: Refused) {
        println("${e.message}, unwound ${log.size}: ${log.first()} to ${log.last()}")
    }
    var caught = 0
    for (n in 0 until 5000) {
        try {
            if (n % 3 == 0) throw Refused(n)
            if (n % 3 == 1) check(n < 0)
        } catch (e: Refused) {
            caught += e.number % 2
        } catch (e: IllegalStateException) {
            caught += 2
        } finally {
            caught += 10
        }
    }
    println(caught)
    val cause = runCatching { runCatching { "x".toInt() }.getOrThrow() }.exceptionOrNull()
    println(cause is NumberFormatException)
}

private fun fibonacci() = sequence {
    var (a, b) = Pair(0L, 1L)
    while (true) {
        yield(a)
        val next = a + b
        a = b
        b = next
    }
}

private fun generators() {
    println(fibonacci().filter { it % 2 == 0L }.take(12).toList())
    println(fibonacci().zip(generateSequence(1) { it * 3 }).drop(5).take(3).toList())
    val counts = HashMap<Int, Int>()
    for (n in 1..40_000) counts[n * n % 1009] = (counts[n * n % 1009] ?: 0) + 1
    println("${counts.size} ${counts.values.sum()} ${counts.entries.minBy { it.key * 100_000L + it.value }}")
}

private class Cell(val number: Int, val next: Cell?)

private fun lists() {
    var list: Cell? = null
    for (n in 1..200_000) list = Cell(n, list)
    var sum = 0L
    var at = list
    while (at != null) {
        sum += at.number
        at = at.next
    }
    println(sum)
    var garbage = 0
    for (n in 1..100_000) garbage += listOf(n, n + 1, n + 2).map { it * 2 }.size
    println(garbage)
}

private fun strings() {
    val words = "the quick brown fox jumps over the lazy dog the end".split(' ')
    println(words.groupingBy { it }.eachCount().entries.sortedBy { it.key }.joinToString { "${it.key}=${it.value}" })
    val text = buildString { repeat(2000) { append(it).append(',') } }
    println("${text.length} ${text.hashCode()} ${text.reversed().take(9)} ${"\u00e4\u20ac\ud83d\ude00".length}")
    println(text.split(',').mapNotNull { it.toIntOrNull() }.chunked(500).map { it.sum() })
}

fun main() {
    casts()
    arrays()
    exceptions()
    generators()
    lists()
    strings()
}
