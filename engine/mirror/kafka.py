"""Kafka as the broker of a mirror: confluent-kafka, whose own threads do the work.

Promises that no call waits longer than its bound, and that a topic which could lose messages is refused.
The topic NAME holds the frames, the topic NAME-events the records as JSON, each in one partition. A batch is
one transaction; the transactional id belongs to the topic, so a new writer fences the one before it, and the
broker completes or aborts what that one has left. Numbers are offsets plus one, with gaps where transactions
end. Called by `engine.mirror.pushing` and `pulling`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from engine.errors import ConfigError, UsageError
from engine.mirror.broker import Fenced, Message, Stored, StreamState
from engine.mirror.errors import MirrorOutOfStep, MirrorUnavailable, MirrorUnfit
from engine.mirror.logins import login_of
from engine.mirror.messages import FRAMES
from engine.stores.settings import Address

__all__ = ["KafkaBroker"]

ANSWER_S: Final = 15.0
"""How long a request or a transaction is waited for."""

FETCH_MS: Final = 20
"""How long the broker may keep a request for messages that are not there yet."""

ASK_S: Final = 3.0
"""How long one question about topics may take, of which there are several in that time."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_WANTED: Final = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
"""The settings of a topic that keeps its messages for ever."""
_READ_BACK: Final = 16
"""So many offsets before the end the last message is looked for first."""

_T = TypeVar("_T")


class KafkaBroker:
    """The topic at `kafka://[USER:PASSWORD@]HOST:PORT/TOPIC` (`kafka+ssl://` with TLS). See `Broker`.

    Several hosts are separated by commas.
    """

    def __init__(self, url: str) -> None:
        self._address = Address(url, "kafka", "kafka+ssl")
        self._name = self._address.parts.path.removeprefix("/")
        if not _NAME.fullmatch(self._name):
            raise ConfigError(
                "url: the name of the topic has letters, digits, '.', '_' and '-'; write the address as "
                "kafka://HOST:9092/TOPIC"
            )
        self._login = login_of(self._address, tls=self._address.parts.scheme == "kafka+ssl", tokens=False)
        self._refused = ""
        try:
            import confluent_kafka
        except ModuleNotFoundError:
            raise UsageError("a mirror on Kafka needs confluent-kafka: pip install 'retape[kafka]'") from None
        self._kafka: Any = confluent_kafka
        self._producers: dict[str, Any] = {}
        self._consumer: Any = None
        self._position: tuple[str, int] | None = None  # topic and offset that the consumer reads next

    @property
    def place(self) -> str:
        """See `Broker`."""
        return self._address.shown

    def open(self, subject: str) -> StreamState:
        """See `Broker`. Fences whoever has written to the topic before."""
        return self._run(lambda: self._open(self._topic(subject)))

    def look(self, subject: str) -> StreamState:
        """See `Broker`."""
        return self._run(lambda: self._look(self._topic(subject)))

    def append(self, subject: str, messages: Sequence[Message], after: int) -> None:
        """See `Broker`. The fence is the transactional id, so `after` is not compared."""
        self._run(lambda: self._append(self._topic(subject), messages))

    def read(self, subject: str, begin: int, count: int) -> list[Stored]:
        """See `Broker`."""
        return self._run(lambda: self._read(self._topic(subject), begin - 1, count))

    def close(self) -> None:
        """See `Broker`. An open transaction is aborted by the next writer."""
        self._producers.clear()
        self._position = None
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _topic(self, kind: str) -> str:
        return self._name if kind == FRAMES else f"{self._name}-{kind}"

    def _options(self) -> dict[str, Any]:
        login = self._login
        options = {
            "bootstrap.servers": self._address.parts.netloc.rpartition("@")[2],
            "socket.timeout.ms": int(ANSWER_S * 1000),
            "log_level": 0,
            "error_cb": self._note,
            "security.protocol": f"{'SASL_' * bool(login.user)}{'SSL' if login.tls else 'PLAINTEXT'}",
        }
        if login.user:
            options |= {"sasl.mechanism": login.mechanism}
            options |= {"sasl.username": login.user, "sasl.password": login.password}
        files = {"ca": "ssl.ca.location", "cert": "ssl.certificate.location", "key": "ssl.key.location"}
        return options | {name: getattr(login, key) for key, name in files.items() if getattr(login, key)}

    def _note(self, error: Any) -> None:
        """Keep why the broker refuses the connection: the calls report only that they have none."""
        codes = self._kafka.KafkaError
        if error.code() in (codes._AUTHENTICATION, codes._SSL):
            self._refused = self._address.hide(error.str())

    def _run(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except self._kafka.KafkaException as error:
            self.close()
            raise self._translated(error) from error
        except BaseException:
            self.close()
            raise

    def _translated(self, error: Any) -> Exception:
        cause = error.args[0]
        codes = self._kafka.KafkaError
        # A fence that is noticed between two calls is reported by the next one as a fatal error.
        fenced = (codes._FENCED, codes._FATAL, codes.PRODUCER_FENCED, codes.INVALID_PRODUCER_EPOCH)
        if cause.code() in fenced:
            return Fenced(f"{self.place}: another program writes to the topic ({cause.str()})")
        refused, self._refused = self._refused, ""
        if refused:
            return MirrorUnavailable(f"{self.place}: the broker refuses the connection ({refused})")
        return MirrorUnavailable(
            f"{self.place}: the broker is unavailable ({cause.str()}); start it, or try again"
        )

    def _open(self, topic: str) -> StreamState:
        from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

        admin = AdminClient(self._options())
        known = self._listed(admin).topics
        if topic not in known:
            made = admin.create_topics(
                [NewTopic(topic, 1, config=_WANTED)], operation_timeout=ANSWER_S, request_timeout=ANSWER_S
            )
            made[topic].result(2 * ANSWER_S)
        resource = ConfigResource("topic", topic)
        settings = self._patiently(
            lambda: admin.describe_configs([resource], request_timeout=ANSWER_S)[resource].result(
                2 * ANSWER_S
            )
        )
        partitions = len(known[topic].partitions) if topic in known else 1
        faults = [f"{partitions} partitions"] * (partitions != 1) + [
            f"{key} {settings[key].value}" for key, value in _WANTED.items() if settings[key].value != value
        ]
        if faults:
            raise MirrorUnfit(
                f"{self.place}: the topic {topic} has {', '.join(faults)}, with which it would lose frames; "
                "give the name of a new topic, which is made without limits"
            )
        bytes_max = int(settings["max.message.bytes"].value)
        if topic not in self._producers:
            producer = self._kafka.Producer(
                {
                    **self._options(),
                    "transactional.id": f"retape:{topic}",
                    "transaction.timeout.ms": int(2 * ANSWER_S * 1000),
                    "message.max.bytes": bytes_max,
                    "linger.ms": 1,
                }
            )
            producer.init_transactions(ANSWER_S)
            self._producers[topic] = producer
        first, last = self._patiently(lambda: self._ends(topic))
        return StreamState(first, last, bytes_max)

    def _look(self, topic: str) -> StreamState:
        consumer = self._reader()
        found = self._listed(consumer, topic).topics[topic]
        if found.error is not None:
            raise MirrorOutOfStep(f"{self.place}: there is no topic of this name ({found.error.str()})")
        first, last = self._ends(topic)
        return StreamState(first, last, 0)

    def _reader(self) -> Any:
        if self._consumer is None:
            self._consumer = self._kafka.Consumer(
                {
                    **self._options(),
                    "group.id": "retape",  # never joined: partitions are assigned, nothing is committed
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": FETCH_MS,
                }
            )
        return self._consumer

    def _listed(self, client: Any, *topic: str) -> Any:
        """Return what the broker knows of its topics; it is not asked again once it has refused the login."""
        until = time.monotonic() + ANSWER_S
        while True:
            try:
                return client.list_topics(*topic, timeout=ASK_S)
            except self._kafka.KafkaException:
                client.poll(0)  # calls `_note`
                if self._refused or time.monotonic() > until:
                    raise

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask about a topic that may have been made just now: its broker knows it a moment later."""
        until = time.monotonic() + ANSWER_S
        codes = self._kafka.KafkaError
        while True:
            try:
                return ask()
            except self._kafka.KafkaException as error:
                known = error.args[0].code() not in (
                    codes.UNKNOWN_TOPIC_OR_PART,
                    codes._UNKNOWN_PARTITION,
                    codes._UNKNOWN_TOPIC,
                    codes.LEADER_NOT_AVAILABLE,
                    codes.NOT_LEADER_FOR_PARTITION,
                )
                if known or time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def _ends(self, topic: str) -> tuple[int, int]:
        """Return the numbers of the first and the last message: (first, first - 1) if there is none."""
        partition = self._kafka.TopicPartition(topic, 0)
        low, high = self._reader().get_watermark_offsets(partition, timeout=ANSWER_S)
        back = _READ_BACK
        while True:
            begin = max(low, high - back)
            if found := self._read(topic, begin, high - begin):
                self._pause()
                return low + 1, found[-1].number
            if begin == low:
                return low + 1, low
            back *= 16

    def _pause(self) -> None:
        """Fetch no more: a writer would get back all that it sends."""
        self._position = None
        self._reader().unassign()

    def _read(self, topic: str, offset: int, count: int) -> list[Stored]:
        """Return up to `count` messages from an offset on; fewer at the end of the topic.

        A read that continues the one before it takes what has come meanwhile. Any other one has to be
        assigned, after which the first message takes up to FETCH_MS more.
        """
        consumer = self._reader()
        continues = self._position == (topic, offset)
        if not continues:
            consumer.assign([self._kafka.TopicPartition(topic, 0, offset)])
        self._position = None
        found: list[Stored] = []
        until = time.monotonic() + ANSWER_S
        while len(found) < count:
            first = consumer.poll(1.0)  # `consume` alone waits until it has all or its time is over
            rest = consumer.consume(count - len(found) - 1, timeout=0) if first and not first.error() else []
            for message in (first, *rest) if first else ():
                error = message.error()
                if error is None:
                    headers = {key: value.decode() for key, value in message.headers() or ()}
                    found.append(Stored(message.offset() + 1, headers, message.value()))
                    until = time.monotonic() + ANSWER_S
                elif error.code() == self._kafka.KafkaError._PARTITION_EOF:
                    consumer.unassign()
                    # This end may be that of an earlier moment.
                    return self._read(topic, offset, count) if continues and not found else found
                else:
                    raise self._kafka.KafkaException(error)
            if time.monotonic() > until:
                raise MirrorUnavailable(f"{self.place}: the broker is unavailable (it does not answer)")
        self._position = (topic, found[-1].number) if found else None
        return found

    def _append(self, topic: str, messages: Sequence[Message]) -> None:
        producer = self._producers.get(topic)
        if producer is None:
            raise MirrorUnavailable(f"{self.place}: the connection was closed")
        failures: list[Any] = []

        def report(error: Any, _: Any) -> None:
            if error is not None:
                failures.append(error)

        producer.begin_transaction()
        for message in messages:
            producer.produce(
                topic,
                message.data,
                key=message.headers["Nats-Msg-Id"],
                partition=0,
                headers=message.headers,
                on_delivery=report,
            )
        producer.commit_transaction(ANSWER_S)
        if failures:
            raise self._kafka.KafkaException(failures[0])
