"""All scenarios for readers: importing this has them registered."""

from umi_cli.certify import reader_application_cases as reader_application_cases
from umi_cli.certify import reader_fragment_cases as reader_fragment_cases
from umi_cli.certify import reader_link_cases as reader_link_cases
from umi_cli.certify import reader_security_cases as reader_security_cases
from umi_cli.certify.reader_case import READER_CASES as READER_CASES
