/*
 * lispd - rules in Lisp, loaded once, answer requests that are Lisp expressions.
 *
 * The interpreter is that of ../lisp.c. At start it reads its prelude and a shop: price rules, and a catalogue that
 * becomes a list of two thousand articles.
 */
#include "request.h"

#define main lisp_main
#define putchar(c) fputc(c, answer)
#undef stdout
#define stdout answer
#include "../lisp.c"
#undef stdout
#undef putchar
#undef main

static const char shop[] =
    "(define (article n)"
    "  (list (string->symbol (string-append \"article-\" (number->string n)))"
    "        (+ 100 (modulo (* n 7919) 9000)) (modulo n 7)))"
    "(define catalogue (map article (range 0 2000)))"
    "(define (index-by-tens l)"
    "  (let loop ((l l) (n 0) (done '()))"
    "    (cond ((null? l) (reverse done))"
    "          ((= (modulo n 40) 0) (loop (cdr l) (+ n 1) (cons l done)))"
    "          (else (loop (cdr l) (+ n 1) done)))))"
    "(define shelves (index-by-tens catalogue))"
    "(define (nth l n) (if (= n 0) (car l) (nth (cdr l) (- n 1))))"
    "(define (find-article n)"
    "  (nth (nth shelves (quotient n 40)) (modulo n 40)))"
    "(define (find-article-list n) (nth shelves (quotient n 40)))"
    "(define rebates '((gold 15) (silver 8) (none 0)))"
    "(define (rebate-of level) (cadr (assoc level rebates)))"
    "(define (line-price line)"
    "  (let* ((a (find-article (car line))) (count (cadr line)) (sum (* count (cadr a))))"
    "    (if (> count 9) (quotient (* sum 95) 100) sum)))"
    "(define (bill level lines)"
    "  (let* ((sums (map line-price lines)) (total (fold + 0 sums)))"
    "    (for-each (lambda (line)"
    "                (print (car (find-article (car line))) \" x\" (cadr line) \" \" (line-price line)))"
    "              lines)"
    "    (print \"total \" (- total (quotient (* total (rebate-of level)) 100)))))";

static void prepare(void)
{
    machine.script = "request";
    start_machine(DEFAULT_LIMIT);
    run_text(shop, 1);
}

static void answer_request(void)
{
    run_text(request, 1);
}
