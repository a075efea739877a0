;; Products of rows with filters, what nearly all of a network's time goes to:
;;   out[i][f] = max(least, shifts[f] + sum over d of rows[i][d] * filters[f][d])
;; Two rows and sixteen filters at a time, so that eight sums of four numbers stay in registers.
;; Addresses count bytes; all numbers are float32. Weights come in blocks: [filters / 16][depth][16].
;; After a change, with what `make test` installs:
;;   .venv/web/node_modules/.bin/wat2wasm src/lookbook/web/multiply.wat -o src/lookbook/web/multiply.wasm
(module
  (memory (import "page" "memory") 1)
  (func (export "multiply")
    (param $rows i32) (param $n i32) (param $depth i32)           ;; where they lie, how many, how long
    (param $weights i32) (param $shifts i32) (param $lanes i32)   ;; filters, in multiples of 16
    (param $out i32) (param $least f32)                           ;; 0 for a ReLU, -inf for none
    (local $row i32) (local $answer i32)       ;; bytes of one row, and of its answer
    (local $left i32) (local $i i32)           ;; filters left to do, rows done
    (local $p i32) (local $q i32) (local $end i32) (local $w i32)
    (local $o i32) (local $second i32)
    (local $x v128) (local $y v128) (local $v v128)
    (local $a0 v128) (local $a1 v128) (local $a2 v128) (local $a3 v128)
    (local $b0 v128) (local $b1 v128) (local $b2 v128) (local $b3 v128)
    (local.set $row (i32.shl (local.get $depth) (i32.const 2)))
    (local.set $answer (i32.shl (local.get $lanes) (i32.const 2)))
    (local.set $left (local.get $lanes))
    (loop $sixteen
      (local.set $i (i32.const 0))
      (local.set $p (local.get $rows))
      (local.set $o (local.get $out))
      (loop $two
        ;; without a second row the first one is taken twice
        (local.set $second (i32.lt_u (i32.add (local.get $i) (i32.const 1)) (local.get $n)))
        (local.set $q (i32.add (local.get $p) (i32.mul (local.get $second) (local.get $row))))
        (local.set $end (i32.add (local.get $p) (local.get $row)))
        (local.set $w (local.get $weights))
        (local.set $b0 (local.tee $a0 (v128.load (local.get $shifts))))
        (local.set $b1 (local.tee $a1 (v128.load offset=16 (local.get $shifts))))
        (local.set $b2 (local.tee $a2 (v128.load offset=32 (local.get $shifts))))
        (local.set $b3 (local.tee $a3 (v128.load offset=48 (local.get $shifts))))
        (loop $deep
          (local.set $x (v128.load32_splat (local.get $p)))
          (local.set $y (v128.load32_splat (local.get $q)))
          (local.set $v (v128.load (local.get $w)))
          (local.set $a0 (f32x4.add (local.get $a0) (f32x4.mul (local.get $x) (local.get $v))))
          (local.set $b0 (f32x4.add (local.get $b0) (f32x4.mul (local.get $y) (local.get $v))))
          (local.set $v (v128.load offset=16 (local.get $w)))
          (local.set $a1 (f32x4.add (local.get $a1) (f32x4.mul (local.get $x) (local.get $v))))
          (local.set $b1 (f32x4.add (local.get $b1) (f32x4.mul (local.get $y) (local.get $v))))
          (local.set $v (v128.load offset=32 (local.get $w)))
          (local.set $a2 (f32x4.add (local.get $a2) (f32x4.mul (local.get $x) (local.get $v))))
          (local.set $b2 (f32x4.add (local.get $b2) (f32x4.mul (local.get $y) (local.get $v))))
          (local.set $v (v128.load offset=48 (local.get $w)))
          (local.set $a3 (f32x4.add (local.get $a3) (f32x4.mul (local.get $x) (local.get $v))))
          (local.set $b3 (f32x4.add (local.get $b3) (f32x4.mul (local.get $y) (local.get $v))))
          (local.set $w (i32.add (local.get $w) (i32.const 64)))
          (local.set $q (i32.add (local.get $q) (i32.const 4)))
          (br_if $deep (i32.lt_u
            (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $end))))
        (local.set $v (f32x4.splat (local.get $least)))
        (v128.store (local.get $o) (f32x4.max (local.get $a0) (local.get $v)))
        (v128.store offset=16 (local.get $o) (f32x4.max (local.get $a1) (local.get $v)))
        (v128.store offset=32 (local.get $o) (f32x4.max (local.get $a2) (local.get $v)))
        (v128.store offset=48 (local.get $o) (f32x4.max (local.get $a3) (local.get $v)))
        (local.set $o (i32.add (local.get $o) (i32.mul (local.get $second) (local.get $answer))))
        (v128.store (local.get $o) (f32x4.max (local.get $b0) (local.get $v)))
        (v128.store offset=16 (local.get $o) (f32x4.max (local.get $b1) (local.get $v)))
        (v128.store offset=32 (local.get $o) (f32x4.max (local.get $b2) (local.get $v)))
        (v128.store offset=48 (local.get $o) (f32x4.max (local.get $b3) (local.get $v)))
        (local.set $o (i32.add (local.get $o) (local.get $answer)))
        (local.set $p (local.get $q))  ;; the end of the second row
        (br_if $two (i32.lt_u
          (local.tee $i (i32.add (local.get $i) (i32.const 2))) (local.get $n))))
      (local.set $weights (local.get $w))  ;; the end of the block
      (local.set $shifts (i32.add (local.get $shifts) (i32.const 64)))
      (local.set $out (i32.add (local.get $out) (i32.const 64)))
      (br_if $sixteen
        (local.tee $left (i32.sub (local.get $left) (i32.const 16)))))))
