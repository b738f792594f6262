; Reads standard input and prints each line turned round, with its number.
(define (turn text)
  (let loop ((at 0) (out ""))
    (if (= at (string-length text))
        out
        (loop (+ at 1) (string-append (substring text at (+ at 1)) out)))))

(let loop ((line (read-line)) (number 1))
  (cond (line
         (print number ": " (turn line))
         (loop (read-line) (+ number 1)))
        (else
         (print "lines: " (- number 1) ", arguments: " (arguments)))))
