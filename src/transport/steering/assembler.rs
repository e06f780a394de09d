//! A small assembler for BPF (RFC 9669): instructions in order, jumps to labels.
//!
//! It supports only the few instructions that steering needs; the kernel's verifier checks whether
//! a program makes sense.

/// A register.
///
/// `R1` to `R5` are a call's arguments and are overwritten by it, `R0` is its result, `R6` to `R9`
/// are preserved, and `R10` points to the end of the stack.
#[derive(Clone, Copy, Debug)]
pub(super) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// The right side of an operation or comparison; a constant is sign-extended to 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand {
    Register(Register),
    Constant(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(constant: i32) -> Self {
        Self::Constant(constant)
    }
}

/// Arithmetic on 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Xor = 0xa0,
    Move = 0xb0,
    /// Shifts copies of the top bit in.
    ShiftRightSigned = 0xc0,
}

/// The condition of a jump; numbers are unsigned.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Equal = 0x10,
    Greater = 0x20,
    GreaterOrEqual = 0x30,
    NotEqual = 0x50,
    Less = 0xa0,
}

/// How many bytes are read or written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Width {
    Bits8 = 0x10,
    Bits32 = 0x00,
    Bits64 = 0x18,
}

/// A position in the program that jumps may name before it is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A program under construction.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<u64>,
    /// Where each label is, once that is known.
    places: Vec<Option<usize>>,
    /// The jumps whose offset is not written yet.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// Creates a label without a position.
    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Puts the label at the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        let old = self.places[label.0].replace(self.code.len());
        assert!(old.is_none(), "{label:?} has two places");
    }

    /// `to = to <operation> by`
    pub(super) fn compute(&mut self, to: Register, operation: Operation, by: impl Into<Operand>) {
        const ALU64: u8 = 0x07;
        self.with_operand(ALU64 | operation as u8, to, by.into(), 0);
    }

    /// `to = from`, with the upper half cleared.
    pub(super) fn move_lower_half(&mut self, to: Register, from: Register) {
        const ALU32: u8 = 0x04;
        let operation = ALU32 | Operation::Move as u8;
        self.with_operand(operation, to, from.into(), 0);
    }

    /// `to = value`
    pub(super) fn constant(&mut self, to: Register, value: u64) {
        self.wide(to, 0, value);
    }

    /// Loads the map with this file descriptor into `to`.
    pub(super) fn map(&mut self, to: Register, descriptor: i32) {
        const PSEUDO_MAP_FD: u8 = 1;
        self.wide(to, PSEUDO_MAP_FD, u64::from(descriptor.cast_unsigned()));
    }

    /// `to = *(from + offset)`
    pub(super) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        const LDX_MEM: u8 = 0x61;
        self.push(LDX_MEM | width as u8, to, from as u8, offset, 0);
    }

    /// `*(to + offset) = from`
    pub(super) fn store(
        &mut self,
        width: Width,
        to: Register,
        offset: i16,
        from: impl Into<Operand>,
    ) {
        const ST_MEM: u8 = 0x62;
        const STX_MEM: u8 = 0x63;
        match from.into() {
            Operand::Constant(value) => self.push(ST_MEM | width as u8, to, 0, offset, value),
            Operand::Register(from) => {
                self.push(STX_MEM | width as u8, to, from as u8, offset, 0);
            }
        }
    }

    /// Jumps to the label if the comparison holds.
    pub(super) fn jump_if(
        &mut self,
        left: Register,
        when: When,
        right: impl Into<Operand>,
        to: Label,
    ) {
        const JMP: u8 = 0x05;
        self.jumps.push((self.code.len(), to));
        self.with_operand(JMP | when as u8, left, right.into(), 0);
    }

    /// Jumps to the label.
    pub(super) fn jump(&mut self, to: Label) {
        const JA: u8 = 0x05;
        self.jumps.push((self.code.len(), to));
        self.push(JA, Register::R0, 0, 0, 0);
    }

    /// Calls a function of the kernel.
    pub(super) fn call(&mut self, function: i32) {
        const CALL: u8 = 0x85;
        self.push(CALL, Register::R0, 0, 0, function);
    }

    /// Ends the program; `R0` is its result.
    pub(super) fn exit(&mut self) {
        const EXIT: u8 = 0x95;
        self.push(EXIT, Register::R0, 0, 0, 0);
    }

    /// Returns the program, with the offsets of all jumps.
    ///
    /// # Panics
    /// If a label has no position or is too far away.
    pub(super) fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let place = self.places[label.0].expect("every label has a place");
            // Offsets count from the instruction after the jump.
            let offset = place.cast_signed() - at.cast_signed() - 1;
            let offset = i16::try_from(offset).expect("the program is short");
            self.code[at] |= u64::from(offset.cast_unsigned()) << OFFSET_SHIFT;
        }
        self.code
    }

    fn with_operand(&mut self, operation: u8, to: Register, by: Operand, offset: i16) {
        const FROM_REGISTER: u8 = 0x08;
        match by {
            Operand::Register(by) => {
                self.push(operation | FROM_REGISTER, to, by as u8, offset, 0);
            }
            Operand::Constant(value) => self.push(operation, to, 0, offset, value),
        }
    }

    fn wide(&mut self, to: Register, kind: u8, value: u64) {
        const LD_IMM_DW: u8 = 0x18;
        let (low, high) = (value as u32, (value >> 32) as u32);
        self.push(LD_IMM_DW, to, kind, 0, low.cast_signed());
        self.push(0, Register::R0, 0, 0, high.cast_signed());
    }

    /// ```text
    ///  63          32 31    16 15 12 11  8 7         0
    /// |   constant   | offset | from |  to | operation |
    /// ```
    fn push(&mut self, operation: u8, to: Register, from: u8, offset: i16, constant: i32) {
        self.code.push(
            u64::from(operation)
                | u64::from(to as u8) << 8
                | u64::from(from) << 12
                | u64::from(offset.cast_unsigned()) << OFFSET_SHIFT
                | u64::from(constant.cast_unsigned()) << 32,
        );
    }
}

const OFFSET_SHIFT: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_as_the_kernel_writes_them() {
        let mut a = Assembler::default();
        let (back, ahead) = (a.label(), a.label());
        a.place(back);
        a.compute(Register::R1, Operation::Move, Register::R6);
        a.compute(Register::R8, Operation::And, -2);
        a.constant(Register::R3, 0x0102_0304_0506_0708);
        a.load(Width::Bits32, Register::R9, Register::R6, 16);
        a.store(Width::Bits32, Register::R10, -4, Register::R8);
        a.jump_if(Register::R8, When::GreaterOrEqual, Register::R9, ahead);
        a.jump(back);
        a.place(ahead);
        a.exit();
        let wants = [
            0x0000_0000_0000_61bf,
            0xffff_fffe_0000_0857,
            0x0506_0708_0000_0318,
            0x0102_0304_0000_0000,
            0x0000_0000_0010_6961,
            0x0000_0000_fffc_8a63,
            0x0000_0000_0001_983d,
            0x0000_0000_fff8_0005,
            0x0000_0000_0000_0095,
        ];
        assert_eq!(a.finish(), wants);
    }
}
