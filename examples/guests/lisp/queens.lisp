; Places N queens on a board so that none attacks another, and counts the ways.
; The first argument of the script sets N, which is 6 without one.

(define size
  (if (null? (arguments)) 6 (string->number (car (arguments)))))

; The queens so far are a list of columns, the one of the latest row first.
(define (safe? column queens)
  (let loop ((rest queens) (distance 1))
    (cond ((null? rest) #t)
          ((= (car rest) column) #f)
          ((= (abs (- (car rest) column)) distance) #f)
          (else (loop (cdr rest) (+ distance 1))))))

(define first-found #f)

(define (place row queens)
  (cond ((= row size)
         (unless first-found (set! first-found (reverse queens)))
         1)
        (else
         (fold (lambda (sum column)
                 (if (safe? column queens)
                     (+ sum (place (+ row 1) (cons column queens)))
                     sum))
               0
               (range 0 size)))))

(define (print-row queen)
  (for-each (lambda (column) (display (if (= column queen) " Q" " .")))
            (range 0 size))
  (newline))

(define ways (place 0 '()))
(when first-found (for-each print-row first-found))
(print ways " ways to place " size " queens")
