"""The use cases of holders and of a pass's later life, as the edges meet them."""

from __future__ import annotations

from dataclasses import dataclass

from passferry_pass_issuer.application.answer_enrolments import AnswerEnrolments
from passferry_pass_issuer.application.complete_reissues import CompleteReissues
from passferry_pass_issuer.application.keep_holders import EraseHolder, SaveHolder
from passferry_pass_issuer.application.keep_time import KeepTime
from passferry_pass_issuer.application.life_ports import HolderRecords
from passferry_pass_issuer.application.reissue_passes import ReissuePass
from passferry_pass_issuer.application.send_messages import (
    ApplyMessageRequests,
    SendClassMessage,
    SendMessage,
)
from passferry_pass_issuer.application.transfer_passes import TransferPass


@dataclass(frozen=True, kw_only=True)
class PassLife:
    holders: HolderRecords
    save_holder: SaveHolder
    erase_holder: EraseHolder
    send_message: SendMessage
    send_class_message: SendClassMessage
    transfer_pass: TransferPass
    reissue_pass: ReissuePass
    keep_time: KeepTime
    #: Of Kafka.
    apply_message_requests: ApplyMessageRequests
    answer_enrolments: AnswerEnrolments
    complete_reissues: CompleteReissues
