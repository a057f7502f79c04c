/*
 * Single passes on small functions, text in and text out: where each fires, and where it must not.
 * What a whole pipeline makes of a function is the lit tests' topic.
 */
#include "pass_support.h"

static void negations_cancel(void **state) {
    (void)state;
    pass_expect("canonicalize",
                "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                "  %y = neg %x : f32[4]\n"
                "  %z = neg %y : f32[4]\n"
                "  return %z\n"
                "}\n",
                "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                "  return %x\n"
                "}\n");
}

/* (x + 1) + 2 is not x + 3 to the last bit. */
static void sums_keep_their_order(void **state) {
    (void)state;
    static const char sums[] = "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                               "  %one = constant { value = 1 } : f32[4]\n"
                               "  %two = constant { value = 2 } : f32[4]\n"
                               "  %a = add %x, %one : f32[4]\n"
                               "  %b = add %a, %two : f32[4]\n"
                               "  return %b\n"
                               "}\n";
    pass_expect("canonicalize", sums, sums);
}

static void detach_goes_only_when_asked(void **state) {
    (void)state;
    static const char detached[] = "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                                   "  %y = detach %x : f32[4]\n"
                                   "  return %y\n"
                                   "}\n";
    pass_expect("canonicalize", detached, detached);
    pass_expect("canonicalize{drop_detach=1}", detached,
                "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                "  return %x\n"
                "}\n");
}

static void elementwise_ops_become_one_kernel(void **state) {
    (void)state;
    pass_expect("fuse",
                "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                "  %y = exp %x : f32[4]\n"
                "  %z = neg %y : f32[4]\n"
                "  return %z\n"
                "}\n",
                "func @f(%x: f32[4] input) -> (f32[4]) {\n"
                "  %z = kernel %x { kind = \"map\" } : f32[4] {\n"
                "    (%x.k: f32[4])\n"
                "    %y = exp %x.k : f32[4]\n"
                "    %z = neg %y : f32[4]\n"
                "    yield %z\n"
                "  }\n"
                "  return %z\n"
                "}\n");
}

static void noise_without_alpha_reaches_every_sample(void **state) {
    (void)state;
    static const char teacher[] =
        "hyper %sigma = 0.5\n"
        "\n"
        "func @objective(%t: f32[B<=4,3] input, %index: i32[B] index, %epoch: i32 epoch, %step: "
        "i32 step) -> (f32[B,3]) {\n"
        "  %z = neg %t : f32[B,3] site(\"teacher.logits\")\n"
        "  return %z\n"
        "}\n";
    pass_expect("inject-noise{sigma=%sigma,kind=additive}", teacher,
                "hyper %sigma = 0.5\n"
                "\n"
                "func @objective(%t: f32[B<=4,3] input, %index: i32[B] index, %epoch: i32 epoch, "
                "%step: i32 step) -> (f32[B,3]) {\n"
                "  %z = neg %t : f32[B,3] site(\"teacher.logits\")\n"
                "  %sigma = hyper { name = \"sigma\" } : f32 role(noise)\n"
                "  %xi = rng.normal %index, %epoch { stream = \"teacher.logits.xi\" } : f32[B,3] "
                "role(noise)\n"
                "  %view = view %sigma { at = [] } : f32[B,3] role(noise)\n"
                "  %mul = mul %xi, %view : f32[B,3] role(noise)\n"
                "  %perturbed = add %z, %mul : f32[B,3] role(noise)\n"
                "  return %perturbed\n"
                "}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(negations_cancel),
        cmocka_unit_test(sums_keep_their_order),
        cmocka_unit_test(detach_goes_only_when_asked),
        cmocka_unit_test(elementwise_ops_become_one_kernel),
        cmocka_unit_test(noise_without_alpha_reaches_every_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
