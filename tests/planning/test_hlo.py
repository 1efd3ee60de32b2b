"""What a compiled program's text says of a step."""

from cifar_jax.planning import hlo

TEXT = """\
HloModule jit_add_steps

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %m = f32[8]{0} multiply(%p, %p)
}

%body.1 (arg: (s32[], f32[8])) -> (s32[], f32[8]) {
  %arg = (s32[], f32[8]{0:T(128)}) parameter(0)
  %a = f32[8]{0} get-tuple-element(%arg), index=1
  %f = f32[8]{0} fusion(%a), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"120"}
  %r = (f32[8]{0}, f32[2,3]{1,0}) all-reduce(%f, %a), to_apply=%sum, backend_config={"estimated_cycles":"30"}
  %g = (f32[4]{0}, f32[16]{0}) all-gather-start(%f), dimensions={0}
  %s = (f32[8]{0}, u32[]) send(%f), channel_id=1
  ROOT %t = (s32[], f32[8]{0}) tuple(%a, %f)
}

%cond.1 (arg: (s32[], f32[8])) -> pred[] {
  ROOT %c = pred[] constant(true)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %w = (s32[], f32[8]{0}) while(%x), condition=%cond.1, body=%body.1
  ROOT %o = bf16[1024]{0} all-reduce(%x), to_apply=%sum
}
"""


def test_the_body_of_the_loop_is_a_step():
    step = hlo.of_loop(TEXT)
    assert step.collectives == {
        "all-reduce": {"count": 1, "bytes": 4 * 8 + 4 * 6},
        "all-gather": {"count": 1, "bytes": 4 * 16},  # what it gives, not what it takes
    }
    assert step.cycles == 150 and step.host == 1
    assert step.launches == 4  # the fusion, both collectives and the sending


def test_an_all_reduce_that_starts_is_counted_once():
    """XLA for a card puts what it takes in parentheses before what it gives; for a TPU it names that alone."""
    for line in (
        "%s = ((f32[28]{0}, f32[3]{0}), f32[28]{0}, f32[3]{0}) all-reduce-start(%a, %b)",
        "%s = ((f32[28]{0}, f32[3]{0}), (f32[28]{0}, f32[3]{0})) all-reduce-start(%a, %b)",
        "%s = (f32[28]{0}, f32[3]{0}) all-reduce-start(%a, %b)",
    ):
        assert hlo.collectives([line]) == {"all-reduce": {"count": 1, "bytes": 4 * 31}}


def test_a_copy_of_a_data_set_is_found_and_one_that_is_handed_on_is_none():
    lines = (
        "  %d = u8[50,3072]{1,0} parameter(1)\n"
        "  %e = (u8[50,3072]{1,0}, u32[]) tuple(%d, %x)\n"
        "  %s = u8[50,1024]{1,0} slice(%d)\n"
        "  %k = u8[50,3072]{0,1} copy(%d)\n"
    )
    text = TEXT.replace("  %x = f32[8]{0} parameter(0)\n", lines)
    assert hlo.copies(TEXT, "u8", 50 * 3072) == 0
    assert hlo.copies(text, "u8", 50 * 3072) == 1
    assert hlo.copies(text, "u8", 1000) == 2


def test_without_a_loop_the_program_is_a_step_and_without_estimates_there_are_no_cycles():
    plain = TEXT[: TEXT.index("%body.1")] + TEXT[TEXT.index("ENTRY") :].replace("body=%body.1", "")
    step = hlo.of_loop(plain.replace("estimated_cycles", "other"))
    assert step.collectives == {"all-reduce": {"count": 1, "bytes": 2048}}
    assert step.cycles is None and step.host == 0


def test_a_loop_within_a_step_counts_as_often_as_it_turns_and_of_a_choice_the_dearest_branch():
    inner = """\
%part (arg: f32[8]) -> f32[8] {
  %arg = f32[8]{0} parameter(0)
  ROOT %f = f32[8]{0} fusion(%arg), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"1000"}
}

%cheap (arg: f32[8]) -> f32[8] {
  %arg = f32[8]{0} parameter(0)
  ROOT %f = f32[8]{0} fusion(%arg), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"7"}
}

"""
    turns = '"known_trip_count":{"n":"4"}'
    lines = (
        f"  %l = f32[8]{{0}} while(%f), condition=%cond.1, body=%part, backend_config={{{turns}}}\n"
        "  %c = f32[8]{0} conditional(%a, %f, %f), branch_computations={%cheap, %part}\n"
    )
    text = TEXT.replace("%body.1 (arg", inner + "%body.1 (arg", 1).replace(
        "  ROOT %t =", lines + "  ROOT %t =", 1
    )
    step = hlo.of_loop(text)
    assert step.cycles == 150 + 4 * 1000 + 1000
    assert step.launches == 4 + 4 + 1
