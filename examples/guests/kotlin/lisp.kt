// A small Lisp: pairs, symbols, boxed numbers and closures, environments as maps, and exceptions for errors.

private class LispError(message: String) : Exception(message)

private class Symbol private constructor(val name: String) {
    override fun toString() = name

    companion object {
        private val all = HashMap<String, Symbol>()
        fun of(name: String) = all.getOrPut(name) { Symbol(name) }
    }
}

private class Pair2(val head: Any?, var tail: Any?)

private class Scope(private val outer: Scope?) {
    private val values = HashMap<Symbol, Any?>()

    fun define(name: Symbol, value: Any?) {
        values[name] = value
    }

    private fun home(name: Symbol): Scope? = if (name in values) this else outer?.home(name)

    operator fun get(name: Symbol): Any? = (home(name) ?: throw LispError("unknown name: $name")).values[name]

    fun change(name: Symbol, value: Any?) {
        (home(name) ?: throw LispError("unknown name: $name")).values[name] = value
    }
}

private class Closure(val names: List<Symbol>, val body: Any?, val scope: Scope)

private class Builtin(val name: String, val run: (List<Any?>) -> Any?)

private fun items(list: Any?): List<Any?> {
    val items = ArrayList<Any?>()
    var at = list
    while (at is Pair2) {
        items.add(at.head)
        at = at.tail
    }
    if (at != null) throw LispError("not a list: ${shown(list)}")
    return items
}

private fun listOf2(items: List<Any?>): Any? = items.foldRight(null as Any?) { item, rest -> Pair2(item, rest) }

private fun shown(value: Any?): String = when (value) {
    null -> "()"
    true -> "#t"
    false -> "#f"
    is Pair2 -> {
        val out = StringBuilder("(")
        var at: Any? = value
        while (at is Pair2) {
            if (out.length > 1) out.append(' ')
            out.append(shown(at.head))
            at = at.tail
        }
        if (at != null) out.append(" . ").append(shown(at))
        out.append(')').toString()
    }
    is Closure -> "#<closure of ${value.names.size}>"
    is Builtin -> "#<${value.name}>"
    else -> value.toString()
}

private class Parser(text: String) {
    private val tokens = Regex("[()']|[^\\s()']+").findAll(text).map { it.value }.toList()
    private var at = 0

    val more get() = at < tokens.size

    fun next(): Any? {
        val token = tokens.getOrNull(at++) ?: throw LispError("the text ends inside of a list")
        return when {
            token == "'" -> listOf2(listOf(Symbol.of("quote"), next()))
            token == "(" -> {
                val items = ArrayList<Any?>()
                while (tokens.getOrNull(at) != ")") items.add(next())
                at++
                listOf2(items)
            }
            token == ")" -> throw LispError("nothing to close")
            token == "#t" -> true
            token == "#f" -> false
            else -> token.toLongOrNull() ?: Symbol.of(token)
        }
    }
}

private val QUOTE = Symbol.of("quote")
private val IF = Symbol.of("if")
private val DEFINE = Symbol.of("define")
private val SET = Symbol.of("set!")
private val LAMBDA = Symbol.of("lambda")
private val LET = Symbol.of("let")
private val TRY = Symbol.of("try")

/** Evaluates; calls in the last place take no stack. */
private fun eval(form: Any?, scope: Scope): Any? {
    var expr = form
    var env = scope
    while (true) {
        if (expr is Symbol) return env[expr]
        if (expr !is Pair2) return expr
        val parts = items(expr)
        when (parts[0]) {
            QUOTE -> return parts[1]
            IF -> expr = if (eval(parts[1], env) != false) parts[2] else parts.getOrNull(3)
            DEFINE -> {
                env.define(parts[1] as Symbol, eval(parts[2], env))
                return parts[1]
            }
            SET -> {
                env.change(parts[1] as Symbol, eval(parts[2], env))
                return null
            }
            LAMBDA -> return Closure(items(parts[1]).map { it as Symbol }, parts[2], env)
            LET -> {
                val inner = Scope(env)
                for (binding in items(parts[1])) {
                    val (name, value) = items(binding)
                    inner.define(name as Symbol, eval(value, env))
                }
                expr = parts[2]
                env = inner
            }
            TRY -> return try {
                eval(parts[1], env)
            } catch (e: LispError) {
                val handler = eval(parts[2], env) as Closure
                val inner = Scope(handler.scope)
                inner.define(handler.names[0], Symbol.of(e.message ?: ""))
                eval(handler.body, inner)
            }
            else -> {
                val function = eval(parts[0], env)
                val arguments = parts.drop(1).map { eval(it, env) }
                if (function is Builtin) return function.run(arguments)
                if (function !is Closure) throw LispError("not a function: ${shown(function)}")
                if (function.names.size != arguments.size) {
                    throw LispError("${arguments.size} arguments instead of ${function.names.size}")
                }
                env = Scope(function.scope)
                function.names.forEachIndexed { i, name -> env.define(name, arguments[i]) }
                expr = function.body
            }
        }
    }
}

private fun number(value: Any?) = value as? Long ?: throw LispError("not a number: ${shown(value)}")

private fun pair(value: Any?) = value as? Pair2 ?: throw LispError("not a pair: ${shown(value)}")

private fun global(): Scope {
    val scope = Scope(null)
    fun builtin(name: String, run: (List<Any?>) -> Any?) = scope.define(Symbol.of(name), Builtin(name, run))
    builtin("+") { it.sumOf(::number) }
    builtin("*") { it.fold(1L) { product, value -> product * number(value) } }
    builtin("-") { number(it[0]) - number(it[1]) }
    builtin("/") { if (number(it[1]) == 0L) throw LispError("division by zero") else number(it[0]) / number(it[1]) }
    builtin("mod") { number(it[0]) % number(it[1]) }
    builtin("<") { number(it[0]) < number(it[1]) }
    builtin("=") { number(it[0]) == number(it[1]) }
    builtin("cons") { Pair2(it[0], it[1]) }
    builtin("car") { pair(it[0]).head }
    builtin("cdr") { pair(it[0]).tail }
    builtin("null?") { it[0] == null }
    builtin("list") { listOf2(it) }
    builtin("raise") { throw LispError("raised ${shown(it[0])}") }
    return scope
}

private const val PROGRAM = """
(define range (lambda (from to) (if (< from to) (cons from (range (+ from 1) to)) '())))
(define map (lambda (f l) (if (null? l) '() (cons (f (car l)) (map f (cdr l))))))
(define fold (lambda (f a l) (if (null? l) a (fold f (f a (car l)) (cdr l)))))
(define filter (lambda (p l) (if (null? l) '() (if (p (car l)) (cons (car l) (filter p (cdr l))) (filter p (cdr l))))))
(map (lambda (x) (* x x)) (range 0 12))
(define sort (lambda (l) (if (null? l) '() (let ((p (car l)) (rest (cdr l))) (append
  (sort (filter (lambda (x) (< x p)) rest)) (cons p (sort (filter (lambda (x) (if (< x p) #f #t)) rest))))))))
(define append (lambda (a b) (if (null? a) b (cons (car a) (append (cdr a) b)))))
(sort '(31 4 15 9 26 5 35 8 97 9 32 3 84 6 2 64 33 83 27 95))
(define loop (lambda (n a) (if (= n 0) a (loop (- n 1) (+ a (mod n 7))))))
(loop 60000 0)
(define fib (lambda (n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2))))))
(fib 16)
(define counter (lambda () (let ((n 0)) (lambda () (let ((ignored (set! n (+ n 1)))) n)))))
(define c (counter))
(list (c) (c) (c))
(define ok (lambda (row d placed) (if (null? placed) #t
  (if (= (car placed) row) #f (if (= (car placed) (+ row d)) #f (if (= (car placed) (- row d)) #f
    (ok row (+ d 1) (cdr placed))))))))
(define queens (lambda (n left placed) (if (= left 0) 1
  (fold (lambda (sum row) (if (ok row 1 placed) (+ sum (queens n (- left 1) (cons row placed))) sum)) 0 (range 0 n)))))
(queens 6 6 '())
(try (/ 1 0) (lambda (e) (list 'caught e)))
(try (car '()) (lambda (e) (list 'caught e)))
(try (raise '(a (b . c) 3)) (lambda (e) e))
(try (try (raise 1) (lambda (e) (raise e))) (lambda (e) (list 'outer e)))
(fib 1 2)
(undefined 3)
((lambda (x) x) fib)
(1 2)
)
"""

fun main() {
    val scope = global()
    val parser = Parser(PROGRAM)
    while (parser.more) {
        val line = try {
            shown(eval(parser.next(), scope))
        } catch (e: LispError) {
            "error: ${e.message}"
        }
        println(line)
    }
}
