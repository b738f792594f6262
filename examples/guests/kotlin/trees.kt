// A sorted map as a red-black tree, tried with many keys: boxed numbers, many small objects, and much garbage.
//
// What it says is compared with a map of the standard library after each round.

private enum class Color { RED, BLACK }

/** A node with its subtrees; trees are never changed, so old ones stay what they are. */
private class Node<K : Comparable<K>, V>(
    val color: Color, val left: Node<K, V>?, val key: K, val value: V, val right: Node<K, V>?,
)

private class Tree<K : Comparable<K>, V>(private val root: Node<K, V>?, val size: Int) {
    operator fun get(key: K): V? {
        var at = root
        while (at != null) {
            val order = key.compareTo(at.key)
            if (order == 0) return at.value
            at = if (order < 0) at.left else at.right
        }
        return null
    }

    fun with(key: K, value: V): Tree<K, V> {
        val added = get(key) == null
        return Tree(blackened(inserted(root, key, value)), if (added) size + 1 else size)
    }

    fun without(key: K): Tree<K, V> {
        if (get(key) == null) return this
        // As many nodes are made anew as are left: simple, and a good deal of garbage.
        return entries().filter { it.first != key }.fold(Tree<K, V>(null, 0)) { tree, (k, v) -> tree.with(k, v) }
    }

    fun entries(): Sequence<Pair<K, V>> = sequence { walk(root) }

    private suspend fun SequenceScope<Pair<K, V>>.walk(node: Node<K, V>?) {
        if (node == null) return
        walk(node.left)
        yield(Pair(node.key, node.value))
        walk(node.right)
    }

    /** The black nodes on the way to every leaf, or an exception if the tree is none. */
    fun blackHeight(): Int = checked(root)

    private fun checked(node: Node<K, V>?): Int {
        if (node == null) return 1
        val (left, right) = Pair(checked(node.left), checked(node.right))
        check(left == right) { "$left black nodes on the left, $right on the right" }
        if (node.color == Color.RED) {
            check(node.left?.color != Color.RED && node.right?.color != Color.RED) { "a red node below a red one" }
        }
        check(node.left == null || node.left.key < node.key) { "the left is not smaller" }
        check(node.right == null || node.right.key > node.key) { "the right is not larger" }
        return if (node.color == Color.BLACK) left + 1 else left
    }
}

private fun <K : Comparable<K>, V> blackened(node: Node<K, V>) =
    if (node.color == Color.BLACK) node else Node(Color.BLACK, node.left, node.key, node.value, node.right)

private fun <K : Comparable<K>, V> inserted(node: Node<K, V>?, key: K, value: V): Node<K, V> {
    if (node == null) return Node(Color.RED, null, key, value, null)
    val order = key.compareTo(node.key)
    return when {
        order < 0 -> balanced(node.color, inserted(node.left, key, value), node.key, node.value, node.right)
        order > 0 -> balanced(node.color, node.left, node.key, node.value, inserted(node.right, key, value))
        else -> Node(node.color, node.left, key, value, node.right)
    }
}

private fun <K : Comparable<K>, V> balanced(
    color: Color, left: Node<K, V>?, key: K, value: V, right: Node<K, V>?,
): Node<K, V> {
    if (color == Color.BLACK && left?.color == Color.RED) {
        val (outer, inner) = Pair(left.left, left.right)
        if (outer?.color == Color.RED) {
            return Node(
                Color.RED, blackened(outer), left.key, left.value,
                Node(Color.BLACK, inner, key, value, right),
            )
        }
        if (inner?.color == Color.RED) {
            return Node(
                Color.RED, Node(Color.BLACK, outer, left.key, left.value, inner.left), inner.key, inner.value,
                Node(Color.BLACK, inner.right, key, value, right),
            )
        }
    }
    if (color == Color.BLACK && right?.color == Color.RED) {
        val (inner, outer) = Pair(right.left, right.right)
        if (inner?.color == Color.RED) {
            return Node(
                Color.RED, Node(Color.BLACK, left, key, value, inner.left), inner.key, inner.value,
                Node(Color.BLACK, inner.right, right.key, right.value, outer),
            )
        }
        if (outer?.color == Color.RED) {
            return Node(
                Color.RED, Node(Color.BLACK, left, key, value, inner), right.key, right.value,
                blackened(outer),
            )
        }
    }
    return Node(color, left, key, value, right)
}

private class Numbers(private var state: Int) {
    fun next(below: Int): Int {
        state = state * 1_103_515_245 + 12_345
        return (state ushr 8) % below
    }
}

private fun numbers(rounds: Int) {
    val numbers = Numbers(7)
    var tree = Tree<Int, String>(null, 0)
    val model = HashMap<Int, String>()
    for (round in 1..rounds) {
        repeat(500) {
            val key = numbers.next(3000)
            tree = tree.with(key, "v$round-$key")
            model[key] = "v$round-$key"
        }
        repeat(2) {
            val key = numbers.next(3000)
            tree = tree.without(key)
            model.remove(key)
        }
        val height = tree.blackHeight()
        check(tree.size == model.size) { "${tree.size} instead of ${model.size}" }
        for ((key, value) in tree.entries()) check(model[key] == value) { "$key is $value" }
        val sum = tree.entries().map { it.first.toLong() }.sum()
        println("round $round: ${tree.size} keys, black height $height, sum $sum, first ${tree.entries().first()}")
    }
}

private fun versions() {
    val versions = (0..20).runningFold(Tree<String, Int>(null, 0)) { tree, n -> tree.with("key ${n * 7 % 21}", n) }
    println(versions.joinToString(" ") { it.size.toString() })
    println(versions.last().entries().take(4).toList())
    println(versions[3].entries().toList())
}

fun main() {
    numbers(12)
    versions()
    try {
        println(Tree<Int, Int>(null, 0).entries().first())
    } catch (e: NoSuchElementException) {
        println("an empty tree has no first entry")
    }
}
