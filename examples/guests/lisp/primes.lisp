; Two ways to find primes: by trial division with a tail-recursive loop, and by
; a stream of numbers that is worked out only as far as it is asked for.

(define (prime? n)
  (let loop ((divisor 2))
    (cond ((> (* divisor divisor) n) #t)
          ((= (remainder n divisor) 0) #f)
          (else (loop (+ divisor 1))))))

(define below-hundred (filter prime? (range 2 100)))
(print "primes below 100: " below-hundred)

; A stream is a pair of a value and a function that makes the rest.
(define (numbers-from n)
  (cons n (lambda () (numbers-from (+ n 1)))))

(define (sift stream divisor)
  (if (= (remainder (car stream) divisor) 0)
      (sift ((cdr stream)) divisor)
      (cons (car stream) (lambda () (sift ((cdr stream)) divisor)))))

(define (primes stream)
  (cons (car stream)
        (lambda () (primes (sift ((cdr stream)) (car stream))))))

(define (take stream count)
  (let loop ((stream stream) (count count) (taken '()))
    (if (= count 0)
        (reverse taken)
        (loop (if (= count 1) stream ((cdr stream)))
              (- count 1)
              (cons (car stream) taken)))))

(define first-ones (take (primes (numbers-from 2)) 25))
(print "both ways agree: " (equal? first-ones below-hundred))

; How many there are, and the sum, for a larger limit.
(define (count-and-sum limit)
  (let loop ((n 2) (count 0) (sum 0))
    (cond ((= n limit) (cons count sum))
          ((prime? n) (loop (+ n 1) (+ count 1) (+ sum n)))
          (else (loop (+ n 1) count sum)))))

(define result (count-and-sum 20000))
(print (car result) " primes below 20000, their sum is " (cdr result))
